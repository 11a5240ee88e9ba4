/** Sets fields of many records at once. */
import { useId, useState } from "preact/hooks";
import { call } from "../api/client.js";
import { plural } from "../format.js";
import { html } from "../html.js";
import { Dialog } from "../parts/dialog.js";
import { ProblemNote } from "../parts/problem_note.js";
import { Suggestions } from "../parts/suggestions.js";
import { toast } from "../parts/toasts.js";
import { galleryChanged } from "./changes.js";
import { EMPTY_DRAFT, valueOf } from "./field_values.js";
import { changeAsSeen } from "./other_number.js";

const FIELDS = { identity: "Identity", camera: "Camera", tags: "Tags, with commas: they replace those there" };

export function EditMany({ number, requests, lookAgain, stats, onClose, onDone }) {
  const lists = useId();
  const [draft, setDraft] = useState(EMPTY_DRAFT);
  const [chosen, setChosen] = useState({});
  const [state, setState] = useState({ running: false, problem: null });
  const names = Object.keys(FIELDS).filter((name) => chosen[name]);
  const save = async (event) => {
    event.preventDefault();
    setState({ running: true, problem: null });
    const json = Object.fromEntries(names.map((name) => [name, valueOf(name, draft)]));
    try {
      await changeAsSeen(requests, ({ query }) => call("gallery", { method: "PATCH", query, json }), lookAgain);
      toast(`${plural(number, "record")} changed`);
      galleryChanged();
      onDone();
      onClose();
    } catch (problem) {
      setState({ running: false, problem });
    }
  };
  const type = (name) => (event) => {
    setDraft({ ...draft, [name]: event.target.value });
    setChosen({ ...chosen, [name]: true });
  };
  const suggested = { identity: stats?.identities, camera: stats?.cameras };
  return html`
    <${Dialog} title=${`Edit ${plural(number, "record")}`} onClose=${onClose}>
      <form class="stack" onSubmit=${save}>
        <p class="soft small">Only the fields with a tick are changed. A ticked field without a text is cleared.</p>
        ${Object.entries(FIELDS).map(
          ([name, label]) => html`
            <div class="edit-many-field" key=${name}>
              <input type="checkbox" aria-label=${`Change ${name}`} checked=${Boolean(chosen[name])}
                onChange=${(event) => setChosen({ ...chosen, [name]: event.target.checked })} />
              <label class="field"><span>${label}</span>
                <input class="input" name=${name} value=${draft[name]} autocomplete="off" onInput=${type(name)}
                  list=${suggested[name] ? `${lists}-${name}` : null}
                  placeholder=${chosen[name] ? "is cleared" : "stays as it is"} />
              </label>
              ${suggested[name] && html`<${Suggestions} id=${`${lists}-${name}`} counts=${suggested[name]} />`}
            </div>
          `,
        )}
        <${ProblemNote} problem=${state.problem} />
        <footer>
          <button class="button" type="button" onClick=${onClose}>Cancel</button>
          <button class="button primary" disabled=${state.running || !names.length}>
            Change ${plural(number, "record")}
          </button>
        </footer>
      </form>
    <//>
  `;
}
