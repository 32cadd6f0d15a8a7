"""Which model a panel loads, and with what: LoRAs, another VAE, embeddings, fewer bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from sdnb.models import cache, capabilities, provenance, quantization
from sdnb.models.build import Request
from sdnb.models.embeddings import Embedding
from sdnb.models.lora_files import Wanted

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

BITS = {
    "fp8": "fp8: the denoiser in 8 bits", "int8": "int8: by torchao",
    "8bit": "8bit: by bitsandbytes", "4bit": "4bit: by bitsandbytes",
}  # fmt: skip
AS_IT_IS = ""


class ModelChoice:
    """The controls of a panel that say which model is to be loaded.

    Attributes:
        model, load: the model's name, and the button that loads it.
        more: whether the fields below are shown, and count.
        loras, vae, embeddings, bits: what goes into it; those that can be many, one a line.
        box: all of them.
    """

    def __init__(self) -> None:
        self.model = widgets.Combobox(
            description="Model", options=capabilities.models(), continuous_update=False,
            placeholder="a hub id, a folder, a file, or emoji",
        )  # fmt: skip
        self.load = widgets.Button(description="Load", tooltip="Load this model")
        self.load.add_class("sdnb-small")
        first = widgets.Box([self.model, self.load])
        first.add_class("sdnb-pair")
        self.more = widgets.Checkbox(
            description="With LoRAs, a VAE, embeddings, fewer bits", indent=False
        )

        def area(name: str, example: str) -> Any:
            return widgets.Textarea(
                description=name, rows=1, placeholder=example, continuous_update=False
            )

        self.loras = area("LoRAs, one a line", "a file or hub id")
        self.vae = widgets.Text(
            description="VAE", placeholder="the model's own", continuous_update=False
        )
        self.embeddings = area("Embeddings, one a line", "a file or hub id")
        self.bits = widgets.Dropdown(description="Weights", options=[("as they are", AS_IT_IS)])
        self._fields = widgets.VBox([self.loras, self.vae, self.embeddings, self.bits])
        self._fields.add_class("sdnb-more")
        self.box = widgets.VBox([first, self.more, self._fields])
        self.box.add_class("sdnb-more")
        self._known: dict[str, list[Any]] = {}  # a line -> what it was written from
        self.more.observe(lambda _: self._show(), "value")
        self._show()

    def request(self) -> Request:
        """What is to be loaded.

        Raises:
            ValueError: one of them is no such thing.
            FileNotFoundError: there is no such file.
            ModuleNotFoundError: a package is not installed.
        """
        source = cache.locate(self.model.value.strip())
        if not self.more.value:
            return cache.with_parts(source)
        return cache.with_parts(
            source,
            lora=self._listed(self.loras),
            vae=self.vae.value.strip() or None,
            embeddings=self._listed(self.embeddings),
            quantize=self.bits.value or None,
        )

    def fit(self, pipe: DiffusionPipeline) -> None:
        """Shows what a pipeline was loaded with."""
        request = provenance.request_of(pipe)
        device = request.device if request else "cpu"
        kinds = quantization.usable(device)
        self.bits.options = [("as they are", AS_IT_IS), *((BITS[kind], kind) for kind in kinds)]
        loras = request.lora if request else ()
        embeddings = request.embeddings if request else ()
        self.loras.value = self._written(loras, _lora)
        self.embeddings.value = self._written(embeddings, _embedding)
        self.vae.value = request.vae or "" if request else ""
        asked = request.quantize if request else None
        self.bits.value = asked if asked in kinds else AS_IT_IS
        if loras or embeddings or self.vae.value or self.bits.value:
            self.more.value = True
        if self.more.value and loras:
            self.loras.rows = max(1, len(loras))

    def _written(self, parts: tuple[Any, ...], line: Callable[[Any], str]) -> str:
        self._known |= {
            text: [part for part in parts if line(part) == text] for text in map(line, parts)
        }
        return "\n".join(line(part) for part in parts)

    def _listed(self, field: Any) -> list[Any]:
        """A field's lines; one that was not changed stands for what it was written from."""
        lines = [line.strip() for line in field.value.splitlines() if line.strip()]
        there = {line: iter(parts) for line, parts in self._known.items()}
        found = [next(there.get(line, iter(())), line) for line in lines]
        return [part.given if isinstance(part, Embedding) else part for part in found]

    def _show(self) -> None:
        self._fields.layout.display = None if self.more.value else "none"


def _lora(wanted: Wanted) -> str:
    """A LoRA as a line."""
    at = f"@{wanted.revision}" if wanted.revision else ""
    return f"{wanted.source}{at}/{wanted.file}" if wanted.file else f"{wanted.source}{at}"


def _embedding(wanted: Embedding) -> str:
    """An embedding as a line; one of vectors by its word."""
    return wanted.source if wanted.vectors is None else str(wanted.token)


__all__ = ["ModelChoice"]
