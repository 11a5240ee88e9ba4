/** The inputs of a vehicle's fields, with suggestions of what the gallery has. */
import { useId } from "preact/hooks";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { zoneName } from "../parts/local_time.js";
import { Suggestions } from "../parts/suggestions.js";

const MOST_ATTRIBUTES = 32;

/**
 * @param draft the texts of the fields (`field_values.js`); `onChange` gets the new ones.
 * @param stats what `GET /gallery/stats` answers, or null: cameras and identities to suggest.
 * @param without names of fields that are not asked for.
 */
export function FieldInputs({ draft, onChange, stats, without = [] }) {
  const lists = useId();
  const set = (name) => (event) => onChange({ ...draft, [name]: event.target.value });
  const field = (name, label, properties) =>
    !without.includes(name) &&
    html`
      <label class=${name === "source" ? "field wide" : "field"}><span>${label}</span>
        <input class="input" name=${name} value=${draft[name]} autocomplete="off" onInput=${set(name)}
          ...${properties} />
      </label>
    `;
  return html`
    <div class="field-inputs">
      ${field("identity", "Identity", { list: `${lists}-identities`, maxLength: 200, placeholder: "which vehicle" })}
      ${field("camera", "Camera", { list: `${lists}-cameras`, maxLength: 200 })}
      ${field("captured_at", `Captured at (${zoneName()})`, { type: "datetime-local", step: "1" })}
      ${field("tags", "Tags, with commas", {})}
      ${field("latitude", "Latitude", { type: "number", step: "any", min: -90, max: 90 })}
      ${field("longitude", "Longitude", { type: "number", step: "any", min: -180, max: 180 })}
      ${field("source", "Source", { maxLength: 1000 })}
      ${!without.includes("attributes") && html`
        <${Attributes} rows=${draft.attributes} onChange=${(attributes) => onChange({ ...draft, attributes })} />
      `}
      <${Suggestions} id=${`${lists}-identities`} counts=${stats?.identities} />
      <${Suggestions} id=${`${lists}-cameras`} counts=${stats?.cameras} />
    </div>
  `;
}

function Attributes({ rows, onChange }) {
  const set = (index, part) => (event) =>
    onChange(rows.map((row, i) => (i === index ? { ...row, [part]: event.target.value } : row)));
  return html`
    <fieldset class="attributes">
      <legend>Attributes</legend>
      ${rows.map(
        ({ name, value }, index) => html`
          <div class="attribute" key=${index}>
            <input class="input" aria-label="Attribute" placeholder="colour" value=${name} required=${value !== ""}
              maxlength="200" onInput=${set(index, "name")} />
            <input class="input" aria-label=${`Value of ${name || "the attribute"}`} placeholder="red" value=${value}
              required=${name !== ""} maxlength="200" onInput=${set(index, "value")} />
            <button class="button icon plain" type="button" aria-label=${`Take off ${name || "the attribute"}`}
              onClick=${() => onChange(rows.filter((_, i) => i !== index))}><${Icon} name="close" size="16" /></button>
          </div>
        `,
      )}
      <button class="button plain" type="button" disabled=${rows.length >= MOST_ATTRIBUTES}
        onClick=${() => onChange([...rows, { name: "", value: "" }])}>
        <${Icon} name="plus" size="16" />Add an attribute
      </button>
    </fieldset>
  `;
}
