"""`device.toml` as the agent uses it: the validated spec with every path made absolute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeconsole import paths
from edgeconsole.errors import ConfigError
from edgeconsole.specs import EdgeAgentConfig, ModelDeploymentSpec
from edgeconsole.toml_file import load_toml

if TYPE_CHECKING:
    from edgeconsole.bundle import Manifest


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """An agent's configuration and where its things are."""

    config: EdgeAgentConfig
    file: Path
    state_dir: Path
    token_file: Path
    record_path: Path | None = None
    """The file for the ladders' evidence; `None`: it is not recorded."""

    def bundle_path(self, spec: ModelDeploymentSpec) -> Path | None:
        """Return the bundle folder a model is taken from, or `None` if it is in the store."""
        return None if spec.bundle is None else paths.resolve_beside(self.file, spec.bundle)


def load_settings(file: Path) -> AgentSettings:
    """Read `device.toml`; raises `ConfigError`."""
    config = load_toml(file, EdgeAgentConfig)
    state_dir = (
        paths.agent_state_dir(config.agent_id)
        if config.state_dir is None
        else paths.resolve_beside(file, config.state_dir)
    )
    token_file = (
        state_dir / "token"
        if config.server.token_file is None
        else paths.resolve_beside(file, config.server.token_file)
    )
    record = config.failsafe.record
    return AgentSettings(
        config=config,
        file=file,
        state_dir=state_dir,
        token_file=token_file,
        record_path=None if record is None else paths.resolve_beside(file, record),
    )


def check_settings(settings: AgentSettings) -> None:
    """Check what `--check` promises beyond the file itself: the bundles it names are there.

    Raises:
        ConfigError: a bundle is missing, damaged, or holds another model.
    """
    from edgeconsole.bundle import Bundle
    from edgeconsole.errors import BundleError

    for index, spec in enumerate(settings.config.model_specs):
        path = settings.bundle_path(spec)
        if path is None:
            continue
        where = f"{settings.file}: models[{index}].bundle"
        try:
            bundle = Bundle.open(path)
            bundle.verify()
        except BundleError as error:
            raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error
        if bundle.manifest.model != spec.model_id:
            raise ConfigError(
                f"{where}: {path} holds the model {bundle.manifest.model!r}, "
                f"expected {spec.model_id!r}",
                hint="correct model_id or bundle",
            )
        _check_failsafe(f"{settings.file}: models[{index}].failsafe", spec, bundle.manifest)


def _check_failsafe(where: str, spec: ModelDeploymentSpec, manifest: Manifest) -> None:
    from edgeconsole.bundle.static_answer import static_rows

    names = [output.name for output in manifest.outputs]
    for name in spec.failsafe.output_range:
        if name not in names:
            raise ConfigError(
                f"{where}.output_range: {spec.model_id!r} has no output {name!r}",
                hint=f"its outputs are {', '.join(names)}",
            )
    if spec.failsafe.static_answer:
        try:
            static_rows(manifest.outputs, spec.failsafe.static_answer)
        except ValueError as error:
            raise ConfigError(
                f"{where}: {error}", hint="give each output a number, or the values of one row"
            ) from error
