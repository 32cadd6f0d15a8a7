"""How a panel looks, in light and dark, wide and narrow; and what its page does by itself."""

from __future__ import annotations

from html import escape
from typing import Any

# JupyterLab's own colours where it gives them; elsewhere the system's choice of light or dark.
STYLE = """
.sdnb-panel { --ink: var(--jp-ui-font-color1, #1f2328); --faint: var(--jp-ui-font-color2, #59636e);
  --line: var(--jp-border-color2, #d0d7de); --soft: var(--jp-layout-color2, #f3f4f6);
  --paper: var(--jp-layout-color1, #fff); --accent: var(--jp-brand-color1, #1976d2);
  --wrong: var(--jp-error-color1, #c62828); --press: #1565c0; color: var(--ink);
  container-type: inline-size;
  font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); overflow: visible;
  max-width: 1080px; padding: 4px 4px 12px; color-scheme: light dark }
@media (prefers-color-scheme: dark) {
  .sdnb-panel { --ink: var(--jp-ui-font-color1, #e6edf3);
    --faint: var(--jp-ui-font-color2, #9da7b3);
    --line: var(--jp-border-color2, #3d444d); --soft: var(--jp-layout-color2, #212830);
    --paper: var(--jp-layout-color1, #15191e); --accent: var(--jp-brand-color1, #4ea1f3);
    --wrong: var(--jp-error-color1, #ff7b72) }
}
.jp-Notebook .sdnb-panel { color-scheme: light }
[data-jp-theme-light=false] .sdnb-panel { color-scheme: dark }
.sdnb-panel * { box-sizing: border-box }
.sdnb-panel .sdnb-body.sdnb-body { display: grid; gap: 12px 28px; align-items: start;
  grid-template: "ask stage" auto "settings stage" 1fr "history history" auto
    / minmax(260px, 320px) minmax(0, 1fr); overflow: visible }
.sdnb-panel .sdnb-ask { grid-area: ask } .sdnb-panel .sdnb-settings { grid-area: settings }
.sdnb-panel .sdnb-stage-box { grid-area: stage } .sdnb-panel .sdnb-history { grid-area: history }
@container (max-width: 660px) {
  .sdnb-panel .sdnb-body.sdnb-body { grid-template: "ask" "stage" "settings" "history"
    / minmax(0, 1fr) }
}
.sdnb-panel .widget-box { overflow: visible; margin: 0; min-width: 0 }
.sdnb-panel .sdnb-ask.sdnb-ask, .sdnb-panel .sdnb-settings.sdnb-settings { gap: 10px }
.sdnb-panel .sdnb-more.sdnb-more { gap: 10px }
.sdnb-panel .sdnb-pair.sdnb-pair { display: flex; flex-flow: row wrap; gap: 10px 12px;
  align-items: end }
.sdnb-panel .sdnb-pair > * { flex: 1 1 96px } .sdnb-panel .sdnb-pair > .sdnb-small { flex: none }

/* labels above, controls as wide as their column */
.sdnb-panel .jupyter-widgets { width: auto; max-width: 100%; margin: 0; min-width: 0 }
.sdnb-panel .widget-inline-hbox { display: grid; height: auto; align-items: center;
  grid-template: "label readout" auto "control control" auto / 1fr auto; gap: 2px 8px }
.sdnb-panel .widget-inline-hbox > * { grid-column: 1 / -1; width: 100%; max-width: none; margin: 0 }
.sdnb-panel .widget-inline-hbox > .widget-label { grid-area: label; text-align: left;
  color: var(--faint); font-size: 12px; line-height: 18px; height: 18px; padding: 0 }
.sdnb-panel .widget-inline-hbox > .widget-readout { grid-area: readout; width: auto;
  min-width: 44px; text-align: right; height: 20px; line-height: 18px; padding: 0 4px;
  border-radius: 4px; color: var(--ink); font-variant-numeric: tabular-nums }
.sdnb-panel .widget-inline-hbox > .slider-container, .sdnb-panel .widget-inline-hbox > .slider {
  grid-area: control; height: 20px; margin: 0; padding: 0 8px; display: flex; align-items: center }
.sdnb-panel .slider-container > .slider { flex: 1; margin: 0 }
.sdnb-panel .widget-checkbox { display: block; height: 24px }
.sdnb-panel .widget-checkbox > .widget-label { display: none }
.sdnb-panel .widget-checkbox .widget-label-basic { display: flex; gap: 8px; align-items: center;
  justify-content: flex-start; height: 24px; color: var(--ink) }
.sdnb-panel .widget-checkbox.widget-checkbox .widget-label-basic > input[type=checkbox] {
  flex: none; width: 16px; height: 16px; margin: 0; accent-color: var(--accent) }
.sdnb-panel input[type=text], .sdnb-panel textarea, .sdnb-panel select { width: 100%;
  color: var(--ink); background-color: var(--paper); border: 1px solid var(--line);
  border-radius: 6px; font: inherit; padding: 5px 8px; height: 32px }
.sdnb-panel select { padding: 0 4px; appearance: auto; background-image: none }
.sdnb-panel textarea { resize: vertical; min-height: 34px; height: auto }
.sdnb-panel .sdnb-prompt textarea { min-height: 74px; font-size: 14px }
.sdnb-panel :is(input, textarea, select, button, .widget-readout, .noUi-handle, .ui-slider-handle,
  summary):focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; box-shadow: none }
.sdnb-panel .noUi-target, .sdnb-panel .noUi-target .noUi-connects { border-radius: 2px }
.sdnb-panel .noUi-connect { background: var(--accent) }
.sdnb-panel :is(.noUi-handle, .ui-slider-handle) { border-color: var(--accent) }
.sdnb-panel .widget-html, .sdnb-panel .widget-html-content { height: auto; line-height: inherit;
  font-size: inherit; overflow-wrap: anywhere; overflow: visible }
.sdnb-panel p { margin: 0 }

.sdnb-panel .jupyter-button, .sdnb-panel .sdnb-copy { height: 32px; width: auto; padding: 0 14px;
  border: 1px solid var(--line); border-radius: 6px; background: var(--soft); color: var(--ink);
  font: inherit; line-height: 30px; box-shadow: none; cursor: pointer; white-space: nowrap }
.sdnb-panel .jupyter-button:hover, .sdnb-panel .sdnb-copy:hover { border-color: var(--faint) }
.sdnb-panel .jupyter-button:disabled { opacity: .5; cursor: default }
.sdnb-panel .jupyter-button.mod-primary { background: var(--press); border-color: var(--press);
  color: #fff; font-weight: 600 }
.sdnb-panel .jupyter-button.mod-primary:hover { filter: brightness(1.08) }

.sdnb-panel .sdnb-modes .p-TabBar, .sdnb-panel .sdnb-modes .lm-TabBar { overflow: visible }
.sdnb-panel .sdnb-modes .widget-tab-contents { border: 1px solid var(--line); padding: 12px;
  border-radius: 0 0 6px 6px; background: none; overflow: visible }
.sdnb-panel .sdnb-modes .widget-box { gap: 10px }

.sdnb-panel .sdnb-stage-box.sdnb-stage-box { gap: 10px; align-items: stretch }
.sdnb-panel .sdnb-picture { display: block; width: 100%; max-width: min(100%, 560px); height: auto;
  margin: 0 auto; border-radius: 8px; object-fit: contain }
.sdnb-panel .sdnb-picture.sdnb-sheet { max-width: 100%; border-radius: 4px }
.sdnb-panel .sdnb-empty { display: grid; place-items: center; max-width: 560px; margin: 0 auto;
  aspect-ratio: 1; border: 1px dashed var(--line); border-radius: 8px; background: none;
  color: var(--faint); text-align: center; padding: 24px }
.sdnb-panel .sdnb-run.sdnb-run { display: flex; flex-flow: row nowrap; gap: 12px;
  align-items: center; width: 100%; max-width: 560px; margin: 0 auto }
.sdnb-panel .sdnb-run > :first-child { flex: 1 }
.sdnb-panel .sdnb-bar { display: grid; gap: 4px; font-variant-numeric: tabular-nums;
  color: var(--faint) }
.sdnb-panel progress { width: 100%; height: 6px; border: 0; border-radius: 3px; appearance: none;
  background: var(--line); overflow: hidden }
.sdnb-panel progress::-webkit-progress-bar { background: var(--line) }
.sdnb-panel progress::-webkit-progress-value { background: var(--accent) }
.sdnb-panel progress::-moz-progress-bar { background: var(--accent) }
.sdnb-panel :is(.sdnb-about, details, [role=status], [role=alert]) { max-width: 560px;
  margin: 0 auto }
.sdnb-panel .sdnb-about p + p { color: var(--faint); font-size: 12px }
.sdnb-panel .sdnb-about p:first-child { font-size: 15px }
.sdnb-panel [role=status] p { color: var(--faint) }
.sdnb-panel .sdnb-wrong { border-left: 3px solid var(--wrong); padding: 2px 0 2px 10px }
.sdnb-panel .sdnb-buttons { display: flex; flex-wrap: wrap; gap: 8px; align-items: center }
.sdnb-panel .sdnb-said { color: var(--faint); margin: 0 }
.sdnb-panel summary { cursor: pointer; color: var(--faint) }
.sdnb-panel pre { margin: 6px 0 0; padding: 10px; background: var(--soft); border-radius: 6px;
  font: 12px/1.5 var(--jp-code-font-family, ui-monospace, monospace); color: var(--ink);
  white-space: pre-wrap }
.sdnb-panel .sdnb-keep.sdnb-keep { display: flex; flex-flow: row nowrap; gap: 8px;
  align-items: flex-start; width: 100%; max-width: 560px; margin: 0 auto }
.sdnb-panel .sdnb-keep > :last-child { flex: 1 }
.sdnb-panel .sdnb-tokens { color: var(--faint); font-size: 12px; margin-top: -6px }
.sdnb-panel .sdnb-tokens strong { color: var(--wrong); font-weight: 600 }
.sdnb-panel .sdnb-slider.sdnb-live { width: min(100%, 400px); margin: 0 auto }
.sdnb-panel .sdnb-slider > p { display: none }

.sdnb-panel .sdnb-history.sdnb-history { border-top: 1px solid var(--line); padding-top: 10px;
  gap: 8px }
.sdnb-panel .sdnb-thumbs.sdnb-thumbs { display: flex; flex-flow: row wrap; gap: 8px }
.sdnb-panel .sdnb-thumb.jupyter-button { width: 84px; height: 104px; padding: 84px 2px 0;
  line-height: 18px; font-size: 11px; color: var(--faint); overflow: hidden;
  text-overflow: ellipsis; background-color: var(--paper); background-repeat: no-repeat;
  background-size: 82px 82px; background-position: top center }
.sdnb-panel .sdnb-thumb.jupyter-button:hover { color: var(--ink); border-color: var(--accent) }
.sdnb-panel .sdnb-restore { align-self: flex-start }
.sdnb-panel .sdnb-title { color: var(--faint); font-size: 12px }
.sdnb-panel.sdnb-over { outline: 2px dashed var(--accent); outline-offset: 4px }
"""

# Core widgets give a slider's handle and its number no name, those of ipywidgets 7 the handle not
# even a role, and JupyterLab takes its arrow keys; a picture has no text. And a file that is
# dropped goes to the upload button, as if it had been chosen there.
SCRIPT = """
const root = this.closest('.sdnb-panel');
if (root && !root.sdnbDressed) {
  root.sdnbDressed = true;
  const dress = () => {
    for (const slider of root.querySelectorAll('.widget-slider')) {
      const name = slider.querySelector('.widget-label')?.textContent || 'value';
      const number = slider.querySelector('.widget-readout');
      number?.setAttribute('aria-label', name);
      number?.setAttribute('role', 'textbox');
      for (const handle of slider.querySelectorAll('.noUi-handle, .ui-slider-handle')) {
        handle.setAttribute('aria-label', name);
        handle.setAttribute('data-lm-suppress-shortcuts', '');
        if (handle.matches('.noUi-handle')) continue;
        handle.setAttribute('role', 'slider');
        handle.setAttribute('aria-valuenow', number?.textContent);
      }
    }
    const picture = root.querySelector('.sdnb-picture');
    const words = root.querySelector('.sdnb-about')?.innerText || '';
    if (picture && picture.alt !== words) picture.alt = words;
  };
  new MutationObserver(dress).observe(root, { childList: true, subtree: true });
  dress();
  const over = (event, on) => {
    if (!event.dataTransfer?.types.includes('Files')) return false;
    event.preventDefault();
    event.stopPropagation();
    root.classList.toggle('sdnb-over', on);
    return true;
  };
  root.addEventListener('dragover', event => over(event, true));
  root.addEventListener('dragleave', event => over(event, false));
  root.addEventListener('drop', event => {
    const button = root.querySelector('.sdnb-restore');
    if (!over(event, false) || !button || !event.dataTransfer.files.length) return;
    const click = HTMLInputElement.prototype.click;
    HTMLInputElement.prototype.click = function () {
      this.files = event.dataTransfer.files;
      this.dispatchEvent(new Event('change'));
    };
    try { button.click(); } finally { HTMLInputElement.prototype.click = click; }
  });
}
"""


def dress(name: str) -> str:
    """The HTML that gives a panel its look, and hides its plain picture while it is alive."""
    return f'<style onload="{escape(SCRIPT)}">{STYLE}.sdnb-plain-{name} {{ display: none }}</style>'


def styled(widget: Any, *names: str) -> Any:
    """The widget, with classes of CSS."""
    for name in names:
        widget.add_class(name)
    return widget
