import { expect, test } from 'vitest'
import { rewriteDockerfile } from './dockerfile-images.ts'

const imageMap = { 'python:3.12-slim': 'mirror:5000/python:3.12', debian: 'mirror:5000/debian' }

test('names in FROM lines are replaced, with and without registry and tag', () => {
  expect(rewriteDockerfile('FROM python:3.12-slim\nRUN true\n', imageMap)).toBe(
    'FROM mirror:5000/python:3.12\nRUN true\n',
  )
  expect(rewriteDockerfile('from docker.io/library/debian:latest AS a\n', imageMap)).toBe(
    'from mirror:5000/debian AS a\n',
  )
  expect(rewriteDockerfile('FROM --platform=linux/amd64 debian\n', imageMap)).toBe(
    'FROM --platform=linux/amd64 mirror:5000/debian\n',
  )
})

test('a stage that is called like an image stays what it is', () => {
  const text = 'FROM python:3.12-slim AS debian\nFROM debian\nCOPY --from=debian /a /a\nCOPY --from=0 /b /b\n'
  expect(rewriteDockerfile(text, imageMap)).toBe(text.replace('python:3.12-slim', 'mirror:5000/python:3.12'))
})

test('COPY --from an image is replaced', () => {
  expect(rewriteDockerfile('FROM scratch\nCOPY --from=debian:latest /a /a\n', imageMap)).toBe(
    'FROM scratch\nCOPY --from=mirror:5000/debian /a /a\n',
  )
})

test.each(['$BASE', '${BASE}', '${BASE:-x}', 'python:$TAG', 'python:${NONE:-3.12-slim}'])(
  'an image named by variables is replaced as a whole: %s',
  (image) => {
    const args = 'ARG BASE=python:3.12-slim\nARG TAG="3.12-slim"\n'
    expect(rewriteDockerfile(`${args}FROM ${image}\n`, imageMap)).toBe(`${args}FROM mirror:5000/python:3.12\n`)
  },
)

test('what no map names is left as it is written', () => {
  const text = '# a comment\nARG TAG\nFROM ubuntu:$TAG AS base\nRUN echo "FROM debian"\nFROM base\n'
  expect(rewriteDockerfile(text, imageMap)).toBe(text)
})

test('the syntax directive goes and keeps its line', () => {
  expect(rewriteDockerfile('# syntax=docker/dockerfile:1\nFROM debian\n', {})).toBe('#\nFROM debian\n')
  expect(rewriteDockerfile('# escape=`\n# syntax = docker/dockerfile:1\nFROM debian\n', {})).toBe(
    '# escape=`\n#\nFROM debian\n',
  )
})

test('continued and CRLF lines are replaced in place', () => {
  expect(rewriteDockerfile('FROM \\\r\n  debian AS x\r\nRUN true\r\n', imageMap)).toBe(
    'FROM \\\r\n  mirror:5000/debian AS x\r\nRUN true\r\n',
  )
})
