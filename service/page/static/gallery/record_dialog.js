/** One record: how it looks, where it comes from, and its fields to edit. */
import { useLayoutEffect, useState } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { degrees, time } from "../format.js";
import { html } from "../html.js";
import { Confirm } from "../parts/confirm.js";
import { Dialog } from "../parts/dialog.js";
import { FramePicture } from "../parts/frame_picture.js";
import { Icon } from "../parts/icon.js";
import { Loaded } from "../parts/loaded.js";
import { Picture } from "../parts/picture.js";
import { ProblemNote } from "../parts/problem_note.js";
import { Empty } from "../parts/states.js";
import { go, href } from "../route.js";
import { galleryChanged } from "./changes.js";
import { deleteRecord } from "./deletion.js";
import { FieldInputs } from "./field_inputs.js";
import { changedValues, toDraft } from "./field_values.js";

/** @param records those of the page: where the record is among them decides what is before and after it. */
export function RecordDialog({ id, records, stats, conditions }) {
  const resource = useResource((signal) => call(`gallery/${encodeURIComponent(id)}`, { signal }), [id]);
  const { data, problem } = resource;
  const close = () => go(href("gallery", conditions));
  const index = records.findIndex((record) => record.id === id);
  const beside = (step) => index >= 0 && records[index + step];
  const move = (step, icon, label) => html`
    <button class="button icon" aria-label=${label} disabled=${!beside(step)}
      onClick=${() => go(href("gallery", beside(step).id, conditions), { replace: true })}>
      <${Icon} name=${icon} />
    </button>
  `;
  const draw = (record) => html`
    <div class="row spread">
      <a class="button primary" href=${href("query", { record: record.id })}>
        <${Icon} name="search" />Search for this one
      </a>
      ${index >= 0 && html`
        <div class="row">${move(-1, "left", "Previous record")}${move(1, "right", "Next record")}</div>
      `}
    </div>
    <div class="record-columns">
      <${Pictures} record=${record} />
      <${Fields} key=${record.id} record=${record} stats=${stats} onGone=${close}
        onSaved=${(saved) => resource.setData(() => saved)} />
    </div>
  `;
  return html`
    <${Dialog} title=${data ? (data.identity ?? "Record without identity") : "Record"} wide onClose=${close}>
      ${problem?.status === 404 ? html`
        <${Empty} icon="trash" title="This record is not in the gallery">It was deleted, or never there.<//>
      ` : html`<${Loaded} resource=${resource}>${draw}<//>`}
    <//>
  `;
}

function Pictures({ record }) {
  const { rotation_deg, mirrored, box, source, enrolled_at, model, frame_url } = record;
  return html`
    <div class="stack">
      <div class="record-pair">
        <figure><${Picture} path=${record.image_url} alt="The vehicle" /><figcaption>Original</figcaption></figure>
        <figure>
          <${Picture} path=${record.aligned_url} alt="The vehicle as the network turned it" />
          <figcaption class="figures">
            Aligned: turned by ${degrees(rotation_deg)}${mirrored ? ", mirrored" : ""}
          </figcaption>
        </figure>
      </div>
      <figure>
        <${FramePicture} path=${frame_url} box=${box} alt=${`The whole file ${source ?? ""}, with the vehicle's box`} />
        <figcaption class="figures">Box ${box.replaceAll(",", ", ")} of the whole file</figcaption>
      </figure>
      <dl class="small">
        <dt>Enrolled</dt><dd>${time(enrolled_at)}</dd>
        <dt>Record</dt><dd><code>${record.id}</code></dd>
        <dt>Model</dt><dd><code>${model.slice(0, 12)}</code>, ${record.precision}</dd>
      </dl>
    </div>
  `;
}

function Fields({ record, stats, onSaved, onGone }) {
  // What others change in the record meanwhile is no change of this form.
  const [initial, setInitial] = useState(() => toDraft(record));
  const [draft, setDraft] = useState(initial);
  const [state, setState] = useState({ running: false, problem: null });
  const [isAsking, setAsking] = useState(false);
  const changes = changedValues(initial, draft);
  const isChanged = Object.keys(changes).length > 0;
  const show = (shown) => {
    setInitial(toDraft(shown));
    setDraft(toDraft(shown));
  };
  useLayoutEffect(() => {
    if (!isChanged) show(record);
  }, [record]);
  const save = async (event) => {
    event.preventDefault();
    setState({ running: true, problem: null });
    try {
      const saved = await call(`gallery/${record.id}`, { method: "PATCH", json: changes });
      onSaved(saved);
      show(saved);
      setState({ running: false, problem: null, saved: true });
      galleryChanged();
    } catch (problem) {
      setState({ running: false, problem });
    }
  };
  const remove = async () => {
    await deleteRecord(record.id);
    onGone();
  };
  return html`
    <form class="stack" onSubmit=${save} aria-label="Fields of the record">
      <${FieldInputs} draft=${draft} onChange=${setDraft} stats=${stats} />
      <${ProblemNote} problem=${state.problem} />
      <div class="row spread">
        <button class="button danger" type="button" onClick=${() => setAsking(true)}>
          <${Icon} name="trash" />Delete
        </button>
        <div class="row">
          <span class="small soft" role="status">${state.saved && !isChanged ? "Saved" : ""}</span>
          ${isChanged && html`
            <button class="button" type="button" onClick=${() => show(record)}>Reset</button>
          `}
          <button class="button primary" disabled=${!isChanged || state.running}>Save changes</button>
        </div>
      </div>
    </form>
    ${isAsking && html`
      <${Confirm} title="Delete this record?" action="Delete the record" danger onConfirm=${remove}
        onClose=${() => setAsking(false)}>
        <p>It is gone from every answer at once. “Undo” brings it back for a while, as the service is set up.</p>
      <//>
    `}
  `;
}
