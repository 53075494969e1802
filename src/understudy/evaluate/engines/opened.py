"""A text model, opened by the engine that a recipe names."""

from understudy.evaluate.engines.text import TextEngine
from understudy.recipe import EvaluateSettings


def open_model(model: str, settings: EvaluateSettings) -> TextEngine:
    """A model directory or hub name, ready to be asked.

    Raises:
        UserError: the model cannot be loaded, or the engine is not installed.
    """
    if settings.engine == "vllm":
        from understudy.evaluate.engines.vllm import VllmEngine

        return VllmEngine(model, settings.dtype)
    from understudy.evaluate.engines.local import LocalEngine

    return LocalEngine(model, settings.dtype)
