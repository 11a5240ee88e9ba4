/** Enrolling files: choosing them, what holds for all of them, how far it is, and what came of it. */
import { plural } from "../format.js";
import { html } from "../html.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { useStore } from "../store.js";
import { EnrolForm } from "./enrol_form.js";
import { EnrolProgress } from "./enrol_progress.js";
import { EnrolResults } from "./enrol_results.js";
import { enrolment, isUnderWay } from "./enrolment.js";

/** Opens the dialog; while files are enrolled it says how far they are. */
export function EnrolButton({ onClick }) {
  const now = useStore(enrolment);
  if (!isUnderWay(now)) {
    return html`<button class="button primary" onClick=${onClick}><${Icon} name="upload" />Enrol files</button>`;
  }
  return html`
    <button class="button primary figures" onClick=${onClick}>
      <${Icon} name="upload" />Enrolling: ${now.done} of ${now.files.length}
    </button>
  `;
}

export function EnrolDialog({ stats, onClose }) {
  const now = useStore(enrolment);
  return html`
    <${Dialog} title=${now ? titleOf(now) : "Enrol files"} wide=${now !== null} onClose=${onClose}>
      ${!now && html`<${EnrolForm} stats=${stats} onClose=${onClose} />`}
      ${now && html`<${EnrolProgress} now=${now} />`}
      ${now && html`<${EnrolResults} now=${now} onClose=${onClose} />`}
    <//>
  `;
}

function titleOf({ state, files }) {
  const number = plural(files.length, "file");
  if (state === "done") return `Enrolled: ${number}`;
  return state === "cancelled" ? "Cancelled" : `Enrolling ${number}`;
}
