/** What is searched for: an image with its boxes, or a record of the gallery. */
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Picture } from "../parts/picture.js";
import { useStore } from "../store.js";
import { BoxEditor } from "./box_editor.js";
import { Facts } from "./facts.js";
import { FileButton } from "./intake.js";
import { parameters } from "./parameters.js";
import { search, startSearch } from "./search.js";
import { boxes, image, isFrame } from "./subject.js";

export function SubjectPanel() {
  const { record } = useStore(parameters);
  return record ? html`<${RecordSubject} id=${record} />` : html`<${ImageSubject} />`;
}

function ImageSubject() {
  const opened = useStore(image);
  const drawn = useStore(boxes);
  return html`
    ${opened.element ? html`<${BoxEditor} key=${opened.url} />` : html`<${Unshown} name=${opened.name} />`}
    ${isFrame(opened) && !drawn.length && html`
      <p class="note accent">
        <${Icon} name="box" />
        <span>
          This looks like a whole frame: draw a box around each vehicle. Without one, all of it counts as one vehicle.
        </span>
      </p>
    `}
    <div class="row">
      <${SearchButton} text=${searchText(opened, drawn.length)} />
      <${FileButton} text="Other image" icon="upload" />
    </div>
  `;
}

function searchText(opened, numBoxes) {
  if (numBoxes === 0) return isFrame(opened) ? "Search the whole image" : "Search this image";
  return numBoxes === 1 ? "Search this box" : `Search ${numBoxes} boxes`;
}

function SearchButton({ text }) {
  const { running } = useStore(search);
  return html`
    <button class="button primary search-button" onClick=${startSearch}>
      ${running ? html`<span class="spinner"></span>` : html`<${Icon} name="search" />`}${text}
    </button>
  `;
}

/** In place of the editor, for a file such as HEIC or TIFF. */
function Unshown({ name }) {
  return html`
    <div class="note">
      <${Icon} name="image" />
      <span>
        <strong>${name}</strong><br />
        This browser cannot show the file, so no boxes can be drawn. It is searched for as a whole.
      </span>
    </div>
  `;
}

/** A record that is searched for: "what else looks like it?" */
function RecordSubject({ id }) {
  const { data: record, problem } = useResource((signal) => call(`gallery/${id}`, { signal }), [id]);
  return html`
    <figure class="record-subject">
      <${Picture} path=${`gallery/${id}/image`} alt="The vehicle that is searched for" />
      <figcaption>
        <h2>${record?.identity ?? "A vehicle of the gallery"}</h2>
        ${record && html`<${Facts} record=${{ ...record, identity: null }} />`}
        ${problem?.status === 404 && html`<p class="soft">It is not in the gallery any more.</p>`}
      </figcaption>
    </figure>
    <div class="row">
      <${SearchButton} text="Search again" />
      <${FileButton} text="Search for an image" icon="upload" />
    </div>
  `;
}
