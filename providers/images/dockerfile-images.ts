import { Copy, Directive, DockerfileParser, From, type Dockerfile } from 'dockerfile-ast'
import { mapImage, type ImageMap } from './image-names.ts'

interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/**
 * The Dockerfile with `imageMap` applied to every image that it takes from outside: FROM lines (variables of earlier
 * ARG lines are put in for the comparison) and `COPY --from=`. Names of its own stages stay as they are.
 *
 * A `# syntax=` directive goes, because it makes the Engine fetch a program from the public registry; the Engine's own
 * builder understands what tasks use. Its line stays as a comment, so that line numbers in messages are right.
 */
export function rewriteDockerfile(text: string, imageMap: ImageMap): string {
  const dockerfile = DockerfileParser.parse(text)
  const offsets = lineOffsets(text)
  const edits = [...syntaxEdits(dockerfile, offsets), ...imageEdits(dockerfile, imageMap, offsets)]
  return edits
    .toSorted((a, b) => b.start - a.start)
    .reduce((edited, edit) => edited.slice(0, edit.start) + edit.text + edited.slice(edit.end), text)
}

function syntaxEdits(dockerfile: Dockerfile, offsets: readonly number[]): Edit[] {
  return dockerfile
    .getDirectives()
    .filter((directive) => directive.getDirective() === Directive.syntax)
    .map((directive) => ({ ...toOffsets(directive.getRange(), offsets), text: '#' }))
}

function imageEdits(dockerfile: Dockerfile, imageMap: ImageMap, offsets: readonly number[]): Edit[] {
  const stages = new Set<string>()
  const edits: Edit[] = []
  for (const instruction of dockerfile.getInstructions()) {
    const reference = imageReference(instruction)
    if (reference !== undefined) {
      const image = resolveVariables(dockerfile, reference.image)
      const mapped = stages.has(image.toLowerCase()) || isStageNumber(image) ? image : mapImage(imageMap, image)
      if (mapped !== image) edits.push({ ...toOffsets(reference.range, offsets), text: mapped })
    }
    const stage = instruction instanceof From ? instruction.getBuildStage() : null
    if (stage !== null) stages.add(stage.toLowerCase())
  }
  return edits
}

function imageReference(instruction: unknown): { image: string; range: Range } | undefined {
  if (instruction instanceof From) {
    const image = instruction.getImage()
    const range = instruction.getImageRange()
    return image === null || range === null ? undefined : { image, range }
  }
  if (!(instruction instanceof Copy)) return undefined
  const flag = instruction.getFromFlag()
  const image = flag?.getValue()
  const range = flag?.getValueRange()
  return image && range ? { image, range } : undefined
}

/** FROM sees only ARGs that stand before the first FROM. A variable without a value stays as it is written. */
function resolveVariables(dockerfile: Dockerfile, image: string): string {
  const values = new Map<string, string>()
  for (const arg of dockerfile.getInitialARGs()) {
    const property = arg.getProperty()
    const value = property?.getValue()
    if (property && value != null) values.set(property.getName(), value)
  }
  return image.replace(/\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))/g, (...match: unknown[]) => {
    const [written, braced, fallback, plain] = match.map((part) => (typeof part === 'string' ? part : undefined))
    return values.get(braced ?? plain ?? '') ?? fallback ?? written ?? ''
  })
}

function isStageNumber(image: string): boolean {
  return /^\d+$/.test(image)
}

interface Position {
  readonly line: number
  readonly character: number
}

interface Range {
  readonly start: Position
  readonly end: Position
}

function lineOffsets(text: string): number[] {
  return [0, ...[...text.matchAll(/\n/g)].map((match) => match.index + 1)]
}

function toOffsets(range: Range, offsets: readonly number[]): { start: number; end: number } {
  const offsetOf = (position: Position) => (offsets[position.line] ?? 0) + position.character
  return { start: offsetOf(range.start), end: offsetOf(range.end) }
}
