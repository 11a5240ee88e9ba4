/** Asks before something that is hard to take back. */
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { Dialog } from "./dialog.js";
import { explain } from "./states.js";

/**
 * @param action the verb on the button, such as "Delete 3 records".
 * @param onConfirm does it; while it runs the buttons rest, and its problem is shown.
 */
export function Confirm({ title, action, danger = false, onConfirm, onClose, children }) {
  const [state, setState] = useState({ running: false, problem: null });
  const confirm = async () => {
    setState({ running: true, problem: null });
    try {
      await onConfirm();
      onClose();
    } catch (problem) {
      setState({ running: false, problem });
    }
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <div class="stack tight">${children}</div>
      ${state.problem && html`<p class="note bad" role="alert">${explain(state.problem)[1]}: ${explain(state.problem)[2]}</p>`}
      <footer>
        <button class="button" onClick=${onClose}>Cancel</button>
        <button class=${danger ? "button danger" : "button primary"} disabled=${state.running} onClick=${confirm}>
          ${action}
        </button>
      </footer>
    <//>
  `;
}
