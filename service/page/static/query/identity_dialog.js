/** Says which vehicle a match is: changes the record in the gallery. */
import { useState } from "preact/hooks";
import { call } from "../api/client.js";
import { html } from "../html.js";
import { Dialog } from "../parts/dialog.js";
import { IdentityField } from "../parts/identity_field.js";
import { Picture } from "../parts/picture.js";
import { ProblemNote } from "../parts/problem_note.js";
import { toast } from "../parts/toasts.js";
import { changeMatches } from "./search.js";

const MOST_NEAR = 4;

export function IdentityDialog({ match, answer, onClose }) {
  const [text, setText] = useState(match.identity ?? "");
  const [state, setState] = useState({ running: false, problem: null });
  const identities = new Set(answer.matches.map((one) => one.identity));
  const near = [...identities].filter((one) => one && one !== text).slice(0, MOST_NEAR);
  const isSame = text.trim() === (match.identity ?? "");
  const save = async (event) => {
    event.preventDefault();
    setState({ running: true, problem: null });
    try {
      const record = await call(`gallery/${match.id}`, { method: "PATCH", json: { identity: text.trim() || null } });
      changeMatches(match.id, { identity: record.identity });
      toast(`Match ${match.rank} ${record.identity ? `is ${record.identity}` : "has no identity"} now.`);
      onClose();
    } catch (problem) {
      setState({ running: false, problem });
    }
  };
  return html`
    <${Dialog} title=${`Identity of match ${match.rank}`} onClose=${onClose}>
      <form class="stack" onSubmit=${save}>
        <div class="identity-form">
          <${Picture} path=${match.image_url} alt="The vehicle" />
          <div class="stack tight">
            <${IdentityField} value=${text} onInput=${setText} autofocus
              label="Which vehicle is it? Empty: not known" />
            ${near.length > 0 && html`
              <div class="row" role="group" aria-label="Identities of other matches">
                ${near.map(
                  (name) => html`
                    <button key=${name} type="button" class="chip chip-button" onClick=${() => setText(name)}>
                      ${name}
                    </button>
                  `,
                )}
              </div>
            `}
          </div>
        </div>
        <${ProblemNote} problem=${state.problem} />
        <footer>
          <button class="button" type="button" onClick=${onClose}>Cancel</button>
          <button class="button primary" disabled=${state.running || isSame}>Save</button>
        </footer>
      </form>
    <//>
  `;
}
