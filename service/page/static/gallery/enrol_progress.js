/** How far an enrolment is, with its way out, and what keeps it from going on. */
import { count } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { ProblemNote } from "../parts/problem_note.js";
import { cancelEnrolment, isUnderWay, resumeEnrolment, reviseEnrolment } from "./enrolment.js";

export function EnrolProgress({ now }) {
  const { state, files, done, problem } = now;
  const share = Math.round((100 * done) / files.length);
  const tone = { done: "good", stopped: "bad" }[state] ?? "";
  return html`
    <div class="stack tight">
      <div class="row spread">
        <span class="figures" role="status">${count(done)} of ${count(files.length)} files are done</span>
        ${isUnderWay(now) && html`<button class="button" onClick=${cancelEnrolment}>Cancel the rest</button>`}
      </div>
      <div class=${`progress ${tone}`} role="progressbar" aria-label="Files that are done" aria-valuemin="0"
        aria-valuemax="100" aria-valuenow=${share}><div style=${{ "--share": `${share}%` }}></div></div>
      ${state === "waiting" && html`
        <p class="note warn" role="status">
          <${Icon} name="clock" />
          <span>The service does not answer, or is too busy, at the moment. What is done is stored; it goes on with
            file ${count(done + 1)} by itself.</span>
        </p>
      `}
      ${state === "cancelled" && html`
        <p class="note">
          <${Icon} name="info" />
          <span>${count(files.length - done)} files were not enrolled. Those that were under way at that moment may be
            there: enrolled again, they are duplicates, which does no harm.</span>
        </p>
      `}
      ${state === "stopped" && html`
        <${ProblemNote} problem=${problem} />
        <div class="row">
          <button class="button primary" onClick=${resumeEnrolment}>Go on with file ${count(done + 1)}</button>
          ${done === 0 && html`<button class="button" onClick=${reviseEnrolment}>Change what was entered</button>`}
        </div>
      `}
    </div>
  `;
}
