/** The package's own types describe an ES module, and what Node loads is its CommonJS one. */
declare module 'junit-report-builder' {
  interface TestCase {
    className(name: string): this
    name(name: string): this
    time(seconds: number): this
    property(name: string, value: string): this
    failure(message: string, type: string): this
    error(message: string, type: string): this
    skipped(): this
  }
  interface TestSuite {
    name(name: string): this
    testCase(): TestCase
  }
  interface Builder {
    name(name: string): this
    newBuilder(): Builder
    testSuite(): TestSuite
    build(): string
  }
  export type { TestCase }
  const builder: Builder
  export default builder
}
