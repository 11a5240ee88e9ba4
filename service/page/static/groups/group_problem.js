/** Why a review was not taken. */
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { ProblemNote } from "../parts/problem_note.js";

const SENTENCES = {
  "group-reviewed": "Somebody else has decided on this group meanwhile, and otherwise. Nothing was changed.",
  "not-in-group": "The group was split meanwhile: some of these records are in another part. Nothing was changed.",
  "group-outdated":
    "Somebody gave one of these records another identity meanwhile. Nothing was changed: read the group again, and " +
    "take out what is another vehicle.",
  "group-not-found": "This group is not there any more.",
};

export function GroupProblem({ problem, reload }) {
  const sentence = SENTENCES[problem.kind];
  if (!sentence) return html`<${ProblemNote} problem=${problem} />`;
  return html`
    <div class="note warn" role="alert">
      <${Icon} name="warning" />
      <span>${sentence}</span>
      <button class="button" onClick=${reload}>Read it again</button>
    </div>
  `;
}
