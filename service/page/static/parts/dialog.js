/** A modal dialog: the browser's own, which keeps the focus inside and gives it back. */
import { useEffect, useId, useRef } from "preact/hooks";
import { html } from "../html.js";
import { Icon } from "./icon.js";

export function Dialog({ title, wide = false, onClose, children }) {
  const element = useRef(null);
  const heading = useId();
  useEffect(() => {
    const before = document.activeElement;
    const dialog = element.current;
    dialog.showModal();
    return () => {
      dialog.close(); // what lies behind an open one cannot be focused
      before?.focus?.();
    };
  }, []);
  const cancel = (event) => {
    if (event.target !== element.current) return; // that of a choice of files inside bubbles
    event.preventDefault();
    onClose();
  };
  return html`
    <dialog class=${wide ? "dialog wide" : "dialog"} ref=${element} aria-labelledby=${heading} onCancel=${cancel}
      onMouseDown=${(event) => event.target === element.current && onClose()}>
      <header>
        <h2 id=${heading}>${title}</h2>
        <button class="button icon plain" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button>
      </header>
      <div class="body">${children}</div>
    </dialog>
  `;
}
