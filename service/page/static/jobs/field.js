/** One field of the form of a job. */
import { useId } from "preact/hooks";
import { html } from "../html.js";
import { ConditionFields } from "../parts/filters.js";

export function Field({ field, value, onChange }) {
  return html`<${FIELDS[field.type]} field=${field} value=${value} onChange=${onChange} />`;
}

function Text({ field, value, onChange }) {
  const help = useId();
  const { name, label, required, placeholder, min, max, step } = field;
  return html`
    <div class="field">
      <label for=${`${help}-input`}>${label}</label>
      <input class="input" id=${`${help}-input`} name=${name} type=${field.type} value=${value} required=${required}
        placeholder=${placeholder} min=${min} max=${max} step=${step} aria-describedby=${field.help && help}
        onInput=${(event) => onChange(event.target.value)} />
      ${field.help && html`<small id=${help}>${field.help}</small>`}
    </div>
  `;
}

function Check({ field, value, onChange }) {
  const help = useId();
  return html`
    <div class="job-check">
      <input type="checkbox" id=${`${help}-input`} name=${field.name} checked=${value}
        aria-describedby=${field.help && help} onChange=${(event) => onChange(event.target.checked)} />
      <label for=${`${help}-input`}>${field.label}</label>
      ${field.help && html`<small class="faint" id=${help}>${field.help}</small>`}
    </div>
  `;
}

function Choice({ field, value, onChange }) {
  return html`
    <fieldset class="job-choice">
      <legend>${field.label}</legend>
      ${Object.entries(field.choices).map(
        ([name, label]) => html`
          <label key=${name}>
            <input type="radio" name=${field.name} value=${name} checked=${value === name}
              onChange=${() => onChange(name)} />
            ${label}
          </label>
        `,
      )}
    </fieldset>
  `;
}

function ConditionSet({ field, value, onChange }) {
  const help = useId();
  return html`
    <fieldset class="job-conditions" aria-describedby=${help}>
      <legend>${field.label}</legend>
      <small class="faint" id=${help}>${field.help}</small>
      <div class="filters"><${ConditionFields} draft=${value} onChange=${onChange} /></div>
    </fieldset>
  `;
}

const FIELDS = { text: Text, number: Text, check: Check, choice: Choice, conditions: ConditionSet };
