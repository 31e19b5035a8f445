import { expect, test } from 'vitest'
import { linePlot } from './plots.ts'
import { reportPage } from './page.ts'

test('a line plot has its numbers in a table, what is not known as a dash, and the same for the script', () => {
  const { markup } = linePlot({
    title: 'Mean of "nightly" <jobs>',
    unit: 'mean reward',
    max: 1,
    points: [
      { label: '2026-11-20', value: 0.51234, interval: { low: 0.4, high: 0.6 } },
      { label: '2026-11-21', value: undefined },
    ],
  })
  const text = markup.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ')
  expect(text).toContain('2026-11-20 0.5123 (0.4 … 0.6) 2026-11-21 –')
  expect(text).toContain('Mean of &quot;nightly&quot; &lt;jobs&gt;')
  const data = /data-plot="([^"]*)"/.exec(markup)?.[1]?.replaceAll('&quot;', '"') ?? ''
  expect(JSON.parse(data)).toEqual({
    kind: 'line',
    unit: 'mean reward',
    max: 1,
    labels: ['2026-11-20', '2026-11-21'],
    series: [{ name: 'mean reward', values: [0.51234, null], intervals: [{ low: 0.4, high: 0.6 }, null] }],
  })
  // Any plot makes a page of its own.
  expect(reportPage('trend', linePlot({ title: 't', unit: 'u', points: [] }))).toContain('<title>trend</title>')
})
