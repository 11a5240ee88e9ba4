/** What the disk did to the gallery, as far as it was found out; nothing if it is sound. */
import { plural } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";

export function Damage({ stats }) {
  const { damaged, damaged_images: images, index_problems: problems } = stats;
  if (!damaged && !images && !problems.length) return null;
  return html`
    <div class="note warn" role="alert">
      <${Icon} name="warning" />
      <div class="stack tight">
        <strong>Parts of the gallery are damaged</strong>
        <ul>
          ${damaged > 0 && html`
            <li>${plural(damaged, "record")} cannot be read, and will not be found: enrol the images again.</li>
          `}
          ${images > 0 && html`
            <li>${plural(images, "image file is", "image files are")} missing or damaged: enrol them again.</li>
          `}
          ${problems.map((text) => html`<li
            key=${text}>The index was damaged, and was made anew from the records: ${text}</li>`)}
        </ul>
        <a href="#/jobs/new/verify">Check the whole gallery</a>
      </div>
    </div>
  `;
}
