/** Short messages at the bottom, such as "3 records deleted — Undo". */
import { html } from "../html.js";
import { Store, useStore } from "../store.js";
import { Icon } from "./icon.js";
import { explain } from "./states.js";

const SHOWN_MS = 8_000;

const toasts = new Store([]);
let last = 0;

/** @param action `{text, run}`: a button; the message stays until it or the cross is pressed. */
export function toast(text, action = null) {
  const id = ++last;
  toasts.set([...toasts.value, { id, text, action }].slice(-3));
  if (!action) setTimeout(() => dismiss(id), SHOWN_MS);
}

export function toastProblem(problem) {
  const [, title, text] = explain(problem);
  toast(`${title}. ${text}`);
}

function dismiss(id) {
  toasts.set(toasts.value.filter((one) => one.id !== id));
}

export function Toasts() {
  const shown = useStore(toasts);
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${shown.map(
        ({ id, text, action }) => html`
          <div class="toast" key=${id}>
            <span>${text}</span>
            ${action && html`
              <button class="button" onClick=${() => (dismiss(id), action.run())}>${action.text}</button>
            `}
            <button class="button icon" aria-label="Dismiss" onClick=${() => dismiss(id)}><${Icon} name="close" size="16" /></button>
          </div>
        `,
      )}
    </div>
  `;
}
