/** Which files are enrolled, and the fields that hold for all of them. */
import { useState } from "preact/hooks";
import { bytes, plural } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { useStore } from "../store.js";
import { droppedFiles } from "./dropped_files.js";
import { entered, startEnrolment } from "./enrolment.js";
import { FieldInputs } from "./field_inputs.js";
import { changedValues, EMPTY_DRAFT } from "./field_values.js";

const ACCEPTED = "image/*,.heic,.heif,.tif,.tiff";

export function EnrolForm({ stats, onClose }) {
  const { files, draft } = useStore(entered);
  const setFiles = (changed) => entered.set({ ...entered.value, files: changed });
  const setDraft = (changed) => entered.set({ ...entered.value, draft: changed });
  const add = (more) => setFiles([...entered.value.files, ...more]);
  const start = (event) => {
    event.preventDefault();
    startEnrolment(files, changedValues(EMPTY_DRAFT, draft));
  };
  return html`
    <form class="stack" onSubmit=${start}>
      <${DropZone} onFiles=${add} />
      ${files.length > 0 && html`
        <p class="row spread" role="status">
          <span class="figures">
            <strong>${plural(files.length, "file")}</strong>
            <span class="soft"> · ${bytes(files.reduce((sum, { size }) => sum + size, 0))} · ${firstNames(files)}</span>
          </span>
          <button class="button plain" type="button" onClick=${() => setFiles([])}>Choose others</button>
        </p>
      `}
      <fieldset class="stack tight plain-fieldset">
        <legend><h3>What holds for all of them</h3></legend>
        <p class="small soft">
          All of it may stay empty. Time and place that are not given are taken from the file (EXIF), its name is kept
          as source.
        </p>
        <${FieldInputs} draft=${draft} onChange=${setDraft} stats=${stats} without=${["source"]} />
      </fieldset>
      <footer>
        <button class="button" type="button" onClick=${onClose}>Cancel</button>
        <button class="button primary" disabled=${!files.length}>
          ${files.length ? `Enrol ${plural(files.length, "file")}` : "Enrol"}
        </button>
      </footer>
    </form>
  `;
}

function DropZone({ onFiles }) {
  const [isOver, setOver] = useState(false);
  const over = (value) => (event) => {
    event.preventDefault();
    setOver(value);
  };
  const drop = async (event) => {
    event.preventDefault();
    setOver(false);
    onFiles(await droppedFiles(event.dataTransfer));
  };
  const choose = ({ target }) => {
    onFiles([...target.files]);
    target.value = "";
  };
  return html`
    <label class=${isOver ? "drop-zone over" : "drop-zone"} onDragOver=${over(true)} onDragLeave=${over(false)}
      onDrop=${drop}>
      <${Icon} name="upload" size="28" />
      <strong>Drop pictures or folders here, or choose files</strong>
      <span class="small soft">
        One vehicle each: JPEG, PNG, WebP, TIFF, HEIC … What is there already is left as it is.
      </span>
      <input type="file" multiple accept=${ACCEPTED} aria-label="Files to enrol" onChange=${choose} />
    </label>
  `;
}

function firstNames(files) {
  const names = files.slice(0, 2).map(({ name }) => name).join(", ");
  return files.length > 2 ? `${names} …` : names;
}
