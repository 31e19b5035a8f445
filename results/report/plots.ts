import { html, json, when } from './html.ts'
import type { Html } from './html.ts'

/** One line or one colour of bars. Values stand in the order of the plot's labels; what is not known is absent. */
export interface Series {
  readonly name: string
  readonly values: readonly (number | undefined)[]
  /** Ends of each value's interval, drawn as whiskers. */
  readonly intervals?: readonly ({ readonly low: number; readonly high: number } | undefined)[]
  /** Which of the six colours, from 0: those that belong together have one. Default: a series' place. */
  readonly color?: number
  readonly dashed?: boolean
}

export interface Plot {
  readonly title: string
  readonly labels: readonly string[]
  readonly series: readonly Series[]
  /** What the values are: `mean reward`, `seconds`. */
  readonly unit: string
  /** The axis begins at 0 and ends at least here. */
  readonly max?: number
  /** Bars on each other. Default false. */
  readonly stacked?: boolean
  /** One sentence below, such as what was left out. */
  readonly note?: string
}

/** A point of a line plot. */
export interface PlotPoint {
  /** Where it stands: a name, or a time as it is to be read. Points are drawn in the given order, equally far apart. */
  readonly label: string
  readonly value: number | undefined
  readonly interval?: { readonly low: number; readonly high: number } | undefined
}

/** A trend: one value after another, such as a schedule's means. */
export function linePlot(plot: {
  readonly title: string
  readonly unit: string
  readonly points: readonly PlotPoint[]
  readonly max?: number
  readonly note?: string
}): Html {
  const { points, ...rest } = plot
  const values = points.map(({ value }) => value)
  const intervals = points.map(({ interval }) => interval)
  return plotFigure('line', {
    ...rest,
    labels: points.map(({ label }) => label),
    series: [{ name: plot.unit, values, intervals }],
  })
}

/** Several lines over the same labels. */
export function linesPlot(plot: Plot): Html {
  return plotFigure('line', plot)
}

export function barPlot(plot: Plot): Html {
  return plotFigure('bar', plot)
}

/** Drawn by browser.js into the canvas; the numbers are there in any case. */
function plotFigure(kind: 'bar' | 'line', plot: Plot): Html {
  const { title, unit, labels, series, note, ...rest } = plot
  const data = { kind, unit, labels, series, ...rest }
  return html`<figure class="plot">
    <figcaption>${title}</figcaption>
    <div class="canvas">
      <canvas role="img" aria-label="${title}; the numbers are in the table below" data-plot="${json(data)}"></canvas>
    </div>
    ${when(note, () => html`<p class="left-out">${note}</p>`)}
    <details>
      <summary>Numbers</summary>
      <table>
        <thead>
          <tr>
            <th></th>
            ${series.map(({ name }) => html`<th class="number">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${labels.map(
            (label, at) =>
              html`<tr>
                <th>${label}</th>
                ${series.map((one) => numberCell(one, at))}
              </tr>`,
          )}
        </tbody>
      </table>
    </details>
  </figure>`
}

function numberCell({ values, intervals }: Series, at: number): Html {
  const [value, interval] = [values[at], intervals?.[at]]
  const range = interval === undefined ? '' : ` (${shortNumber(interval.low)} … ${shortNumber(interval.high)})`
  return html`<td class="number">${value === undefined ? '–' : shortNumber(value)}${range}</td>`
}

function shortNumber(value: number): string {
  return String(Number(value.toPrecision(4)))
}
