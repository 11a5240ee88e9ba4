/** Starts a job: first its kind, then the form of its parameters. */
import { useState } from "preact/hooks";
import { call } from "../api/client.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { ProblemNote } from "../parts/problem_note.js";
import { go, href } from "../route.js";
import { draftOf, fieldsOf, parametersOf } from "./draft.js";
import { Field } from "./field.js";
import { KINDS } from "./kinds.js";

export function NewJob({ kind }) {
  return Object.hasOwn(KINDS, kind ?? "") ? html`<${JobForm} key=${kind} kind=${kind} />` : html`<${Kinds} />`;
}

function Kinds() {
  return html`
    <div class="view-head"><h1>Start a job</h1><${Back} /></div>
    <ul class="job-kinds">
      ${Object.entries(KINDS).map(
        ([name, { title, icon, summary }]) => html`
          <li key=${name}>
            <a class="card job-kind" href=${href("jobs", "new", name)}>
              <${Icon} name=${icon} />
              <span><strong>${title}</strong><span class="soft">${summary}</span></span>
            </a>
          </li>
        `,
      )}
    </ul>
  `;
}

function JobForm({ kind }) {
  const { title, summary } = KINDS[kind];
  const [draft, setDraft] = useState(() => draftOf(kind));
  const [{ sending, problem }, setState] = useState({});
  const start = async (event) => {
    event.preventDefault();
    setState({ sending: true });
    try {
      const job = await call("jobs", { method: "POST", json: parametersOf(kind, draft) });
      go(href("jobs", job.id));
    } catch (problem) {
      setState({ problem });
    }
  };
  const fields = fieldsOf(kind, draft);
  return html`
    <div class="view-head"><h1>Start a job: ${title}</h1><${Back} /></div>
    <form class="card padded stack job-form" onSubmit=${start}>
      <p class="soft">${summary}</p>
      ${fields.map((field) => {
        const change = (value) => setDraft((before) => ({ ...before, [field.name]: value }));
        return html`<${Field} key=${field.name} field=${field} value=${draft[field.name]} onChange=${change} />`;
      })}
      ${!fields.length && html`<p>There is nothing to choose.</p>`}
      <${ProblemNote} problem=${problem} />
      <footer class="row">
        <button class="button primary" disabled=${sending}>${sending ? "Starting …" : `Start: ${title}`}</button>
        <a class="button plain" href=${href("jobs", "new")}>Another kind of job</a>
      </footer>
    </form>
  `;
}

const Back = () => html`<a class="button plain" href="#/jobs"><${Icon} name="left" size="16" />All jobs</a>`;
