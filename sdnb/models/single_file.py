"""A model in a single file, as programs other than diffusers keep them: a checkpoint.

Its class follows from the names and shapes of its tensors, by diffusers' own table. What it lacks
(configs, tokenizers, and the weights of parts that are not in it) comes with sdnb, from a folder,
or from the hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdnb import compat
from sdnb.hub import (
    contents,
    gguf,
    headers,
    names,
    pipeline_files,
    repository,
    resumable_download,
)
from sdnb.hub import errors as hub_errors
from sdnb.log import notice
from sdnb.models import families, pretrained, quantization, tensor_names, weights

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from sdnb.models.build import Request


@dataclass
class SingleFile:
    """A model in a single file.

    Attributes:
        model: as sentences and facts name it.
        file: the one file, as it is counted and downloaded.
        tensors: what is in it.
        index: what the model_index.json of its settings says.
        made: the class of its pipeline.
        config: where its settings are from: a folder or a hub id.
        kind: the family whose settings come with sdnb; empty where they are from `config`.
        rest: what else is needed from there: configs, tokenizers, weights of parts not in the file.
        use_safetensors: of the rest.
        revision: of the file, as it was asked for.
        given: parts that are taken in place of its own.
    """

    model: str
    file: repository.Listing
    tensors: Mapping[str, headers.Tensor]
    index: Mapping[str, Any]
    made: Any
    config: str
    kind: str
    rest: repository.Listing | None
    use_safetensors: bool
    revision: str | None
    given: set[str]
    path: Path = Path()
    folder: Path = Path()
    without: dict[str, None] = field(default_factory=dict)  # parts that it does without
    trained: list[str] = field(default_factory=list)  # parts that came in training mode

    @classmethod
    def find(cls, request: Request) -> SingleFile:
        """Reads the file's header, and looks up what it needs beside it.

        Raises:
            ValueError: it is no text-to-image model, or it is not known what it needs.
            OSError: the hub does not give it, or it is damaged.
        """
        file = contents.of_file(request.source, request.revision)
        model, form = file.model, gguf if quantization.is_gguf(request.source) else headers
        tensors = form.of_file(file)
        tensor_names.check_model(model, tensors)
        quantization.check_layout(model, tensors)
        given = {"vae"} if request.vae else set()
        config = request.config or _beside(request.source, request.revision)
        kind = ""
        if not config:
            kind, config = _kind(model, tensors)
        if families.is_known(kind):
            index = families.index(kind)
            if not _lacking(index, tensors) - given:
                made = _class_of(model, index)
                _tell_of_checker(model, index)
                return cls(
                    model, file, tensors, index, made, config, kind, None, True, request.revision,
                    given,
                )  # fmt: skip
        there = _settings_of(model, config)
        index = _index(there)
        made = _class_of(model, index)
        without: dict[str, None] = {}
        lacking = _lacking(index, tensors) - given
        if "text_encoder_3" in lacking and lacking <= {"text_encoder_3"}:
            # SD3's third encoder takes 9.5 GB, and may be left out
            without = dict.fromkeys(("text_encoder_3", "tokenizer_3"))
            notice(f"{model} has no T5 encoder, so its prompts are read by CLIP alone.")
            lacking = set()
        if not lacking:
            _tell_of_checker(model, index)
        rest = _rest(there, index, lacking, request, model)
        return cls(
            model, file, tensors, index, made, config, "", rest, request.use_safetensors,
            request.revision, given, without=without,
        )  # fmt: skip

    @property
    def commit(self) -> str | None:
        """Of the file's repository; None for one on this machine."""
        return self.file.commit

    @property
    def variant(self) -> str | None:
        """Of the weights that are not in the file."""
        return self.rest.variant if self.rest and self._lacking() else None

    def weights(self) -> dict[str, dict[str, headers.Tensor]]:
        """The tensors of each part's weights; under "" those of no part, which are read."""
        there = headers.of_listing(self.rest) if self.rest else {}
        for part, its in tensor_names.by_part(self.index, self.tensors).items():
            there.setdefault(part, {}).update(its)
        return there

    def download(self, memory: object) -> None:
        """Downloads what is not here yet; logs before how much that is, and `memory`."""
        # by the revision's own name, so that it is found again without a network
        folder = repository.download(self.file, self.revision, memory)
        [name] = self.file.files
        self.path = folder / name
        if self.rest:
            self.folder = repository.download(self.rest, None)

    def additions(self) -> dict[str, Any]:
        """Facts beside model and revision: the file's hash, and the source of its configs."""
        [name] = self.file.files
        known = self.file.hashes.get(name)
        found = {
            "sha256": known or resumable_download.sha256(self.path),
            "config": self.config,
            "config_revision": self.rest and self.rest.commit,
            "without": sorted(self.without),
            "parts": self._parts() if self._lacking() else {},
            "eval": self.trained,
        }
        return {name: value for name, value in found.items() if value}

    def pipeline(
        self, dtype: torch.dtype, given: Mapping[str, Any], quantize: str | None
    ) -> DiffusionPipeline:
        """As `build.Source.pipeline` says.

        `quantize` is left to `quantization.cast`: what diffusers 0.42 reads from a single file it
        does not quantise by torchao, and raises nothing.
        """
        import diffusers

        keyword = {compat.dtype_keyword(diffusers.__version__): dtype}
        given = {**self.without, **given}
        lacking = self._lacking()
        try:
            with self.settings() as folder, weights.read_as(dtype, pretrained.classes(self.index)):
                if not lacking:
                    pipe = self.made.from_single_file(
                        str(self.path), config=str(folder), **keyword, **given
                    )
                    self._end_training(pipe)
                    return pipe
                keyword_of_parts = keyword | quantization.of_gguf(self.model, dtype)
                parts = {
                    name: getattr(diffusers, kind).from_single_file(
                        str(self.path), config=str(folder), subfolder=name, **keyword_of_parts
                    )
                    for name, kind in self._parts().items()
                    if name not in given
                }
                pipe = self.made.from_pretrained(
                    folder,
                    variant=self.variant,
                    use_safetensors=self.use_safetensors or None,
                    **keyword, **parts, **given,
                )  # fmt: skip
        except Exception as error:
            raise self._failed(error) from error
        for part in parts.values():
            quantization.check_gguf(self.model, part)
        return pipe

    def _end_training(self, pipe: DiffusionPipeline) -> None:
        """T5 comes in training mode, with dropout, from diffusers 0.42's loader of single files."""
        for name, part in pipe.components.items():
            if getattr(part, "training", False):
                part.eval()
                self.trained.append(name)

    def _lacking(self) -> set[str]:
        return _lacking(self.index, self.tensors) - self.without.keys() - self.given

    def _parts(self) -> dict[str, str]:
        """The parts that diffusers reads from the file one by one, and their classes."""
        there = tensor_names.diffusers_parts(self.index)
        elsewhere = self._lacking() | self.given
        return {name: kind for name, kind in there.items() if name not in elsewhere}

    @contextmanager
    def settings(self) -> Iterator[Path]:
        """A folder in diffusers' layout with the settings of its parts."""
        with families.unpacked(self.kind) if self.kind else nullcontext(self.folder) as folder:
            yield folder

    def _failed(self, error: Exception) -> Exception:
        if self.rest:
            found = pretrained.failed(self.folder, self.rest, error)
            if found.__class__ is OSError and "could not be loaded" not in str(found):
                return found
        return OSError(
            f"{self.model} could not be loaded with the settings of {self.config}: "
            f"{hub_errors.reason(error)} If it was made from another model, name that one: "
            "sdnb.load(..., config='its folder or hub id')."
        )


def _beside(source: str, revision: str | None) -> str:
    """The folder or repository that the file lies in, where that has a pipeline's settings."""
    path = Path(source)
    if path.is_file():
        return str(path.parent) if (path.parent / "model_index.json").is_file() else ""
    hub_id, name = names.split(source)
    there = contents.of(hub_id, revision, name, source)
    return hub_id if "model_index.json" in there.files else ""


def _kind(model: str, tensors: Mapping[str, headers.Tensor]) -> tuple[str, str]:
    """The family of a file, and the hub id whose settings it has, by diffusers' table."""
    kind = tensor_names.kind(tensors)
    if not kind:
        raise ValueError(
            f"{model} is no model that diffusers' table of single files knows: name the one that "
            "it was made from, sdnb.load(..., config='its folder or hub id')."
        )
    hub_id = compat.repository_of_kind(kind)
    return kind, repository.MOVED.get(hub_id, hub_id)


def _class_of(model: str, index: Mapping[str, Any]) -> Any:
    made = pretrained.check_class(model, index)
    if not hasattr(made, "from_single_file"):
        raise ValueError(
            f"{model} is a {made.__name__}, which diffusers does not read from a single file: "
            "load its repository or folder."
        )
    return made


def _lacking(index: Mapping[str, Any], tensors: Mapping[str, headers.Tensor]) -> set[str]:
    """The parts with weights that are not in the file; the safety checker never is."""
    return tensor_names.parts(index).keys() - tensor_names.by_part(index, tensors).keys()


def _settings_of(model: str, config: str) -> contents.Contents:
    try:
        return contents.of(config, None, "model_index.json")
    except (ConnectionError, PermissionError, FileNotFoundError) as error:
        raise type(error)(
            f"{model} needs the settings of {config} (its .json and .txt files, a few MB), and "
            f"they are not here. {error} Or give a folder that has them: "
            "sdnb.load(..., config='folder')."
        ) from error


def _index(there: contents.Contents) -> dict[str, Any]:
    at = repository.at(there.listing(["model_index.json"]), "model_index.json")
    if at is None:
        import huggingface_hub

        try:
            at = Path(
                huggingface_hub.hf_hub_download(
                    there.source, "model_index.json", revision=there.commit
                )
            )
        except hub_errors.library_errors() as error:
            raise hub_errors.explained(error, there.source) from error
    return repository.read_json(at, there.source, there.commit is not None)


def _rest(
    there: contents.Contents, index: Mapping[str, Any], lacking: set[str], request: Request,
    model: str,
) -> repository.Listing:  # fmt: skip
    """Configs and tokenizers of all parts, and the weights of those that the file lacks.

    Raises:
        ValueError: the folder or repository lacks them, too.
    """
    inside = tensor_names.parts(index).keys() - lacking
    # diffusers reads no safety checker with a single file
    unused = {*inside, *([] if lacking else ["safety_checker"])}
    needed = {n: made for n, made in index.items() if n not in unused}
    half = request.dtype != "float32"
    try:
        needs, variant = pipeline_files.choose(
            request.config or there.source, there.files, needed, "auto", half,
            request.use_safetensors,
        )  # fmt: skip
    except pipeline_files.MissingError as error:
        what = ", ".join(sorted(lacking)) or "words"
        raise ValueError(f"{model} has no {what}, and the settings' source neither: {error}") from (
            error
        )
    needs += [f"{part}/config.json" for part in sorted(inside)]
    if missing := [name for name in needs if name not in there.files]:
        raise ValueError(f"{there.source} lacks {', '.join(missing)}, which {model} needs.")
    return there.listing(needs, variant=variant)


def _tell_of_checker(model: str, index: Mapping[str, Any]) -> None:
    if (index.get("safety_checker") or [None])[0]:
        notice(f"{model} is a single file, so no safety checker looks at its pictures.")
