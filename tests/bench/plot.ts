/** Small plots as SVG: bars side by side, and lines on logarithmic axes. No library, no script. */

/** A group of bars that share a label. */
export interface BarGroup {
  readonly label: string;
  readonly bars: readonly { readonly name: string; readonly value: number }[];
}

/** Points that are joined by a line. */
export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

const WIDTH = 860;
const COLOURS = ["#1f6feb", "#d1720f", "#8a4fbf", "#3f8f4f", "#b3334d", "#6b7280", "#0f8b8d"];
const STYLE = 'font-family="system-ui, sans-serif" font-size="12"';
const BAR = 15;
const LABEL_WIDTH = 120;
const VALUE_WIDTH = 230;

/** Horizontal bars, on a logarithmic scale: systems differ by orders of magnitude. */
export function barPlot(title: string, unit: string, groups: readonly BarGroup[]): string {
  const names = [...new Set(groups.flatMap((group) => group.bars.map((bar) => bar.name)))];
  const values = groups.flatMap((group) => group.bars.map((bar) => bar.value))
    .filter((value) => value > 0);
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(...values);
  const room = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const parts: string[] = [];
  let y = 40;
  for (const group of groups) {
    parts.push(text(8, y + BAR - 3, group.label));
    for (const { name, value } of group.bars) {
      const share = value > 0 ? Math.log(value / low) / Math.log(high / low || 2) : 0;
      const width = Math.max(1, share * room);
      const colour = colourOf(names.indexOf(name));
      parts.push(
        `<rect x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 3}" ` +
          `fill="${colour}"/>`,
        text(LABEL_WIDTH + width + 6, y + BAR - 5, `${short(value)} ${name}`),
      );
      y += BAR;
    }
    y += 10;
  }
  return svg(y + 10, [text(8, 20, `${title} (${unit}, logarithmic)`), ...parts]);
}

/** Lines over a logarithmic x axis and a logarithmic y axis. */
export function linePlot(title: string, xLabel: string, series: readonly Series[]): string {
  const left = 70;
  const top = 40;
  const right = WIDTH - 190;
  const bottom = 340;
  const points = series.flatMap(({ points }) => points).filter(({ x, y }) => x > 0 && y > 0);
  const [xLow, xHigh] = range(points.map(({ x }) => x));
  const [yLow, yHigh] = range(points.map(({ y }) => y));
  const place = (value: number, low: number, high: number, from: number, to: number) =>
    from + (to - from) * Math.log(value / low) / Math.log(high / low);
  const atX = (x: number) => place(x, xLow, xHigh, left, right).toFixed(1);
  const atY = (y: number) => place(y, yLow, yHigh, bottom, top).toFixed(1);
  const parts = [text(8, 20, title), text((left + right) / 2, bottom + 34, xLabel)];
  for (const x of decades(xLow, xHigh)) {
    parts.push(line(atX(x), top, atX(x), bottom), text(Number(atX(x)) - 8, bottom + 16, short(x)));
  }
  for (const y of decades(yLow, yHigh)) {
    parts.push(line(left, atY(y), right, atY(y)), text(8, Number(atY(y)) + 4, short(y)));
  }
  for (const [at, { name, points }] of series.entries()) {
    const path = points.filter(({ x, y }) => x > 0 && y > 0)
      .map(({ x, y }) => `${atX(x)},${atY(y)}`);
    const colour = colourOf(at);
    parts.push(
      `<polyline points="${path.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...path.map((point) => {
        const [x, y] = point.split(",");
        return `<circle cx="${x}" cy="${y}" r="3" fill="${colour}"/>`;
      }),
      `<rect x="${right + 14}" y="${top + at * 20}" width="10" height="10" fill="${colour}"/>`,
      text(right + 30, top + at * 20 + 10, name),
    );
  }
  return svg(bottom + 50, parts);
}

/** The decades around some values; never empty. */
function range(values: readonly number[]): [number, number] {
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...values)));
  return [low, high > low ? high : low * 10];
}

function decades(low: number, high: number): number[] {
  const found: number[] = [];
  for (let at = low; at <= high * 1.001; at *= 10) found.push(at);
  return found;
}

function short(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

function colourOf(at: number): string {
  return COLOURS[at % COLOURS.length]!;
}

function line(x1: number | string, y1: number | string, x2: number | string, y2: number | string) {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#ddd"/>`;
}

function text(x: number, y: number, words: string): string {
  const safe = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y}">${safe}</text>`;
}

function svg(height: number, parts: readonly string[]): string {
  const size = `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${STYLE}>\n` +
    `<rect width="100%" height="100%" fill="#fff"/>\n${parts.join("\n")}\n</svg>\n`;
}
