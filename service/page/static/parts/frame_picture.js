/** The whole image that a record was cut from, with the record's box drawn over it. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";
import { imageUrl, reason } from "./picture.js";
import { useAttempt } from "./use_attempt.js";

/**
 * @param path the record's `frame_url`.
 * @param box the record's `box`: "x,y,w,h" in pixels of the upright image.
 */
export function FramePicture({ path, box, alt }) {
  const [state, setState] = useState({});
  const [size, setSize] = useState(null);
  const attempt = useAttempt(Boolean(state.problem));
  useEffect(() => {
    let isCurrent = true;
    setState({});
    setSize(null);
    imageUrl(path).then(
      (url) => isCurrent && setState({ url }),
      (problem) => isCurrent && setState({ problem }),
    );
    return () => (isCurrent = false);
  }, [path, attempt]);
  const onLoad = ({ target }) => setSize({ width: target.naturalWidth, height: target.naturalHeight });
  const onError = () => setState({ isUnknownFormat: true });
  const text = state.isUnknownFormat
    ? "This browser does not show files of this format"
    : state.problem && reason(state.problem);
  return html`
    <div class="frame-picture">
      ${state.url && html`<img src=${state.url} alt=${alt} decoding="async" onLoad=${onLoad} onError=${onError} />`}
      ${size && html`<${Marking} size=${size} box=${box} />`}
      ${text && html`<span role="img" aria-label=${alt}>${text}</span>`}
    </div>
  `;
}

/** The box, in the image's own pixels; its line has the same width whatever the scale. */
function Marking({ size, box }) {
  const [x, y, width, height] = box.split(",").map(Number);
  return html`
    <svg viewBox=${`0 0 ${size.width} ${size.height}`} aria-hidden="true">
      ${["frame-picture-halo", "frame-picture-box"].map(
        (name) => html`<rect key=${name} class=${name} x=${x} y=${y} width=${width} height=${height} />`,
      )}
    </svg>
  `;
}
