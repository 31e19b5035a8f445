'use strict'
// Brings a report to life: plots, filter, order. Without it every number and every trace is there already.

const errorLine = document.getElementById('script-error')
window.addEventListener('error', (event) => {
  errorLine.hidden = false
  errorLine.textContent += `Script error: ${event.message} `
})

// ── Filter and order, which stand in the address after #, so that a view can be kept and handed on ──────────────────

const list = document.querySelector('.list')
const rollouts = list ? [...list.querySelectorAll('.rollout')] : []
const form = document.querySelector('.filters')
const heads = list ? [...list.querySelectorAll('[data-sort]')] : []

/** `#state=failed&q=flask&sort=-reward`; an address like `#r12` names one rollout and filters nothing. */
function wanted() {
  const hash = location.hash.slice(1)
  return new URLSearchParams(hash.includes('=') ? hash : '')
}

function isWanted(rollout, view) {
  const data = rollout.dataset
  const words = (view.get('q') || '').toLowerCase().split(/\s+/).filter(Boolean)
  return (
    words.every((word) => data.search.includes(word)) &&
    ['state', 'agent', 'integrity', 'code', 'rollout'].every((key) => !view.get(key) || view.get(key) === data[key])
  )
}

/** What is not known comes last, whichever way the list is sorted. */
function compare(a, b, sort) {
  const descending = sort.startsWith('-')
  const key = descending ? sort.slice(1) : sort
  const [left, right] = [a.dataset[key] || '', b.dataset[key] || '']
  if (left === '' || right === '') return (left === '') - (right === '')
  const numbers = ['reward', 'turns', 'ms', 'tokens'].includes(key)
  const order = numbers ? Number(left) - Number(right) : left.localeCompare(right, 'en', { numeric: true })
  return descending ? -order : order
}

/** How the list stands; moving thousands of rollouts takes its time. */
let sorted = ''

function show() {
  const view = wanted()
  for (const rollout of rollouts) rollout.hidden = !isWanted(rollout, view)
  const sort = view.get('sort') || ''
  if (sort !== sorted) list.append(...(sort === '' ? rollouts : rollouts.toSorted((a, b) => compare(a, b, sort))))
  sorted = sort
  for (const head of heads) {
    const own = head.dataset.sort === sort.replace(/^-/, '')
    head.setAttribute('aria-pressed', String(own))
    head.textContent = head.dataset.label + (own ? (sort.startsWith('-') ? ' ▾' : ' ▴') : '')
  }
  for (const field of form.elements) if (field.name) field.value = view.get(field.name) || ''
  const shown = rollouts.filter((rollout) => !rollout.hidden).length
  document.getElementById('shown').textContent = `${shown} of ${rollouts.length} rollouts`
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)))
  if (named instanceof HTMLDetailsElement) {
    named.open = true
    named.scrollIntoView()
  }
}

/** Changes the view by changing the address, without a new entry in the history. */
function change(name, value) {
  const view = wanted()
  if (value === '') view.delete(name)
  else view.set(name, value)
  location.replace(`#${view}`)
  show()
}

if (list && form) {
  for (const head of heads) {
    head.dataset.label = head.textContent
    head.addEventListener('click', () => {
      const key = head.dataset.sort
      const now = wanted().get('sort')
      change('sort', now === key ? `-${key}` : now === `-${key}` ? '' : key)
    })
  }
  form.addEventListener('input', (event) => change(event.target.name, event.target.value))
  form.addEventListener('submit', (event) => event.preventDefault())
  window.addEventListener('hashchange', show)
  show()
}

// ── Plots ───────────────────────────────────────────────────────────────────────────────────────────────────────────

document.documentElement.dataset.report = 'started'

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

/** Intervals as whiskers on bars and points. */
const whiskers = {
  id: 'whiskers',
  afterDatasetsDraw(chart) {
    const { ctx, data, scales } = chart
    ctx.save()
    ctx.strokeStyle = color('--text')
    ctx.lineWidth = 1
    for (const [index, { intervals }] of data.datasets.entries()) {
      if (!intervals || !chart.isDatasetVisible(index)) continue
      for (const [at, { x }] of chart.getDatasetMeta(index).data.entries()) {
        if (intervals[at])
          drawWhisker(
            ctx,
            x,
            [intervals[at].low, intervals[at].high].map((y) => scales.y.getPixelForValue(y)),
          )
      }
    }
    ctx.restore()
  },
}

function drawWhisker(ctx, x, [low, high]) {
  ctx.beginPath()
  ctx.moveTo(x, low)
  ctx.lineTo(x, high)
  for (const y of [low, high]) {
    ctx.moveTo(x - 4, y)
    ctx.lineTo(x + 4, y)
  }
  ctx.stroke()
}

function chartOf(canvas) {
  const { kind, labels, series, unit, max, stacked } = JSON.parse(canvas.dataset.plot)
  const datasets = series.map(({ name, values, intervals, color: place, dashed }, index) => {
    const own = color(`--series-${((place ?? index) % 6) + 1}`)
    return {
      label: name,
      data: labels.map((_, at) => values[at] ?? null),
      intervals,
      backgroundColor: own,
      borderColor: own,
      borderWidth: kind === 'line' ? 2 : 0,
      borderDash: dashed || index >= 6 ? [5, 3] : [],
      maxBarThickness: 36,
      pointRadius: 3,
      spanGaps: false,
    }
  })
  const grid = { color: color('--line') }
  const ticks = { color: color('--soft') }
  return new Chart(canvas, {
    type: kind,
    data: { labels, datasets },
    plugins: [whiskers],
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: 'index', intersect: false },
      plugins: { legend: { display: series.length > 1, labels: { color: color('--text'), boxWidth: 12 } } },
      scales: {
        x: { stacked: Boolean(stacked), grid: { display: false }, ticks },
        y: {
          stacked: Boolean(stacked),
          beginAtZero: true,
          ...(max === undefined ? {} : { suggestedMax: max }),
          grid,
          ticks,
          title: { display: true, text: unit, color: color('--soft') },
        },
      },
    },
  })
}

let charts = []
function draw() {
  for (const chart of charts) chart.destroy()
  charts = [...document.querySelectorAll('canvas[data-plot]')].map(chartOf)
}

draw()
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw)

// The last statement: whoever sees it knows that all of it ran.
document.documentElement.dataset.report = 'ready'
