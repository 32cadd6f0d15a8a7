"""A kernel's messages, followed as Jupyter follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def execute(kernel: Any, source: str, allow_stdin: bool | None = None) -> str:
    """Asks nbval's kernel to run a cell as Jupyter does, and gives the message's id.

    nbval runs cells without history. Then a `;` at the end does not silence a result, as in the
    plots of many notebooks, and `_` is not the last one.
    """
    asked: str = kernel.kc.execute(
        source, store_history=True, allow_stdin=bool(allow_stdin), stop_on_error=False
    )
    return asked


class Following:
    """Reads a kernel's messages for nbval, and does what nbval leaves undone in its outputs.

    A display that is updated, outputs that are cleared, and what goes to an Output widget are
    stored by Jupyter as they are at the end. nbval keeps every output as it was at first.
    What updates a display of an earlier cell comes too late: that cell was compared already.

    Arguments:
        item: the cell that runs.
        read: gives the kernel's next message.
    """

    def __init__(self, item: Any, read: Callable[..., dict[str, Any]]) -> None:
        self.item, self.read = item, read
        self.asked = ""  # the id of the message that had the cell run
        self.shown: dict[str, list[Any]] = {}  # display id -> what was shown under it
        self.clear_next = False
        self.captured_by = ""  # the id of an Output widget

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        message = self.read(*args, **kwargs)
        kind, content = message["msg_type"], message["content"]
        parent = message["parent_header"].get("msg_id")
        if kind == "execute_input":
            self.asked = parent
        if parent != self.asked:
            return message
        if kind == "comm_msg":
            state = content["data"].get("state", {})
            if "msg_id" in state:
                self.captured_by = content["comm_id"] if state["msg_id"] else ""
        elif kind == "clear_output":
            if not self.captured_by:
                self.clear_next = content["wait"]
                if not content["wait"]:
                    self.item.test_outputs.clear()
            message["msg_type"] = "comm_msg"  # which nbval passes over
        elif kind == "update_display_data":
            for shown in self.shown.get(content["transient"]["display_id"], []):
                shown.clear()
                shown.update(content["data"])
            message["msg_type"] = "comm_msg"
        elif kind in ("display_data", "execute_result", "stream"):
            self._output(message, content)
        return message

    def _output(self, message: dict[str, Any], content: dict[str, Any]) -> None:
        import nbformat

        if self.captured_by and message["msg_type"] != "execute_result":
            message["msg_type"] = "comm_msg"
            return
        if self.clear_next:
            self.item.test_outputs.clear()
            self.clear_next = False
        if name := content.get("transient", {}).get("display_id"):
            content["data"] = nbformat.from_dict(
                content["data"]
            )  # so that nbval keeps this very one
            self.shown.setdefault(name, []).append(content["data"])
