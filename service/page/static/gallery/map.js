/** A map of the places of records, from their coordinates alone; choosing a cluster shows only what lies there. */
import { useMemo } from "preact/hooks";
import { count, place, plural } from "../format.js";
import { html } from "../html.js";
import { Loaded } from "../parts/loaded.js";
import { Empty } from "../parts/states.js";
import { useWidth } from "../parts/use_width.js";
import { clusters, projection, roundStep } from "./map_layout.js";
import { usePlaces } from "./places.js";

const HEIGHT = 340;
const SMALLEST_WIDTH = 200; // before it is known
const MARGIN = 48;
const GRID_PX = 130;
const SMALLEST_RADIUS_M = 5;

export function GalleryMap({ conditions, version, onChange }) {
  const found = usePlaces(conditions, version);
  const [frame, width] = useWidth();
  return html`
    <section class="card map" aria-label="Map" aria-busy=${found.loading}>
      <div class="map-frame" ref=${frame}>
        <${Loaded} resource=${found} text="Reading places">
          ${({ places }) =>
            places.length
              ? html`<${Drawn} places=${places} width=${width} conditions=${conditions} onChange=${onChange} />`
              : html`<${NoPlaces} />`}
        <//>
      </div>
      ${found.data?.places.length > 0 && html`<${Note} ...${found.data} />`}
    </section>
  `;
}

const NoPlaces = () => html`
  <${Empty} icon="pin" title="No record here has a place">
    Latitude and longitude come from the files (EXIF), from their metadata, or are entered here.
  <//>
`;

function Note({ places, read, total }) {
  const ofHowMany = read < total ? `the first ${count(read)} of ${count(total)}` : count(total);
  return html`
    <p class="map-note small soft">
      ${plural(places.length, "record")} with a place, of ${ofHowMany}. Choose a circle to see what was captured there.
    </p>
  `;
}

function Drawn({ places, width, conditions, onChange }) {
  const { lines, dots, scale } = useMemo(() => layOut(places, Math.max(width, SMALLEST_WIDTH)), [places, width]);
  const choose = ({ latitude, longitude, radiusM }) => {
    const radius = Math.ceil(Math.max(SMALLEST_RADIUS_M, 1.01 * radiusM));
    onChange({ ...conditions, near: `${latitude.toFixed(6)},${longitude.toFixed(6)},${radius}` });
  };
  return html`
    <svg width=${width} height=${HEIGHT} aria-hidden="true">
      ${lines.map(
        ({ x1, y1, x2, y2, label }) => html`
          <line class="map-line" x1=${x1} y1=${y1} x2=${x2} y2=${y2} />
          <text class="map-label" x=${x1 === x2 ? x1 + 4 : 6} y=${x1 === x2 ? HEIGHT - 6 : y1 - 4}>${label}</text>
        `,
      )}
      <g transform=${`translate(${width - scale.pixels - 16} ${HEIGHT - 28})`}>
        <path class="map-scale" d=${`M0 0v6h${scale.pixels}v-6`} />
        <text class="map-label strong" x=${scale.pixels / 2} y="-4" text-anchor="middle">${scale.text}</text>
      </g>
    </svg>
    <ul aria-label="Places">
      ${dots.map((dot) => {
        const text = `${plural(dot.places.length, "record")} at ${place(dot.latitude, dot.longitude)}`;
        const size = `${dot.size}px`;
        return html`
          <li key=${`${dot.x},${dot.y}`}>
            <button class="map-dot figures" aria-label=${text} title=${text} onClick=${() => choose(dot)}
              style=${{ left: `${dot.x}px`, top: `${dot.y}px`, width: size, height: size }}>
              ${dot.places.length > 1 ? count(dot.places.length) : ""}
            </button>
          </li>
        `;
      })}
    </ul>
  `;
}

/** The lines of latitude and longitude, the circles, and the scale bar. */
function layOut(places, width) {
  const map = projection(places, width, HEIGHT, MARGIN);
  const dots = clusters(places, map);
  const metres = roundStep(GRID_PX * map.metresPerPixel);
  const scale = {
    pixels: metres / map.metresPerPixel,
    text: metres < 1000 ? `${metres} m` : `${count(metres / 1000)} km`,
  };
  return { lines: gridLines(map, width), dots, scale };
}

function gridLines(map, width) {
  const northWest = map.toPlace(0, 0);
  const southEast = map.toPlace(width, HEIGHT);
  const lines = [];
  const stepY = roundStep(((northWest.latitude - southEast.latitude) / HEIGHT) * GRID_PX);
  for (let latitude = Math.ceil(southEast.latitude / stepY) * stepY; latitude < northWest.latitude; latitude += stepY) {
    const y = map.toPixels({ latitude, longitude: northWest.longitude })[1];
    lines.push({ x1: 0, x2: width, y1: y, y2: y, label: degreesText(latitude, stepY, "N", "S") });
  }
  const extent = (southEast.longitude - northWest.longitude + 360) % 360;
  const stepX = roundStep((extent / width) * GRID_PX);
  for (let k = Math.ceil(northWest.longitude / stepX); k * stepX < northWest.longitude + extent; k++) {
    const x = ((k * stepX - northWest.longitude) / extent) * width;
    const longitude = ((((k * stepX + 180) % 360) + 360) % 360) - 180;
    lines.push({ x1: x, x2: x, y1: 0, y2: HEIGHT, label: degreesText(longitude, stepX, "E", "W") });
  }
  return lines;
}

function degreesText(degrees, step, positive, negative) {
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return `${Math.abs(degrees).toFixed(digits)}° ${degrees < 0 ? negative : positive}`;
}
