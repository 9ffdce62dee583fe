// The website: its pages are the Markdown files beside this folder, and everything that it needs is built in.
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'

const pages = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const repository = resolve(pages, '..')

/** Returns the first heading of a page. */
function title(page) {
  const text = readFileSync(join(pages, page), 'utf8')
  const heading = /^# (.+)$/m.exec(text)
  return heading ? heading[1].replaceAll('`', '') : page
}

const shown = new Set(['index.md'])

/** Makes an entry of the sidebar, or nothing if the page does not exist. */
function entry(page, text) {
  if (!existsSync(join(pages, page))) return []
  shown.add(page)
  return [{ text: text ?? title(page), link: '/' + page.replace(/\.md$/, '') }]
}

/** Makes an entry for every page of a folder; `named` after its file, or else after its first heading. */
function folder(name, named = false) {
  const dir = join(pages, name)
  if (!existsSync(dir)) return []
  const names = readdirSync(dir).filter((file) => file.endsWith('.md')).sort()
  return names.flatMap((file) => entry(`${name}/${file}`, named ? file.slice(0, -3) : undefined))
}

const group = (text, items, collapsed) => (items.length ? [{ text, items, collapsed }] : [])

/** Returns every page below a folder. */
function everyPage(dir = pages) {
  const hidden = (name) => name.startsWith('.') || ['node_modules', 'public', 'tools'].includes(name)
  return readdirSync(dir, { withFileTypes: true }).flatMap((file) => {
    const path = join(dir, file.name)
    if (hidden(file.name)) return []
    if (file.isDirectory()) return everyPage(path)
    return file.name.endsWith('.md') ? [relative(pages, path)] : []
  })
}

function sidebar() {
  const groups = [
    ...group('Begin', [
      ...entry('start.md', 'Five-minute start'),
      ...entry('concepts.md'),
      ...entry('examples.md'),
      ...entry('glossary.md'),
    ]),
    ...group('Guides', [
      ...entry('guides/sidecar.md'),
      ...entry('guides/gateway.md'),
      ...entry('guides/s3-archive.md'),
      ...entry('guides/mtls.md'),
      ...entry('guides/sizing.md'),
      ...entry('guides/from-vector.md'),
      ...entry('guides/from-fluent-bit.md'),
      ...entry('guides/from-collector.md'),
      ...folder('guides').filter((item) => !/(sidecar|gateway|s3-archive|mtls|sizing|from-\w[\w-]*)$/.test(item.link)),
    ]),
    ...group('Install', [
      ...entry('operations/install.md', 'Install'),
      ...entry('container.md'),
      ...entry('kubernetes.md'),
      ...entry('linux.md'),
      ...entry('operations/upgrade.md'),
    ]),
    ...group('Operate', [
      ...entry('operations.md', 'Overview'),
      ...entry('operations/commands.md'),
      ...entry('operations/metrics.md'),
      ...entry('operations/live.md'),
      ...entry('operations/zones.md'),
      ...entry('operations/outages.md'),
      ...entry('operations/memory.md'),
      ...entry('operations/reload.md'),
      ...entry('operations/stop.md'),
      ...entry('operations/vaults.md'),
      ...entry('operations/backup.md'),
      ...entry('operations/availability.md'),
      ...entry('operations/access.md'),
      ...entry('control.md'),
      ...entry('operations/secrets.md'),
      ...entry('operations/exit-codes.md'),
    ]),
    ...group('When something is wrong', [
      ...entry('operations/troubleshooting.md'),
      ...entry('operations/failures.md'),
      ...entry('vault.md'),
      ...entry('audit.md'),
      ...entry('drill.md'),
    ]),
    ...group('Runbooks', folder('runbooks'), true),
    ...group('Guarantees', [
      ...entry('durability.md'),
      ...entry('delivery.md'),
      ...entry('redact.md'),
      ...entry('s3.md'),
      ...entry('s3-replay.md'),
    ]),
    ...group('Reference', [
      ...entry('configuration.md', 'Settings'),
      ...entry('components/common.md'),
    ]),
    ...group('Sources', folder('components/sources', true), false),
    ...group('Transforms', folder('components/transforms', true), false),
    ...group('Sinks', folder('components/sinks', true), false),
  ]
  const contributors = [...entry('torture.md'), ...entry('benchmarks.md')]
  // A page that nobody placed is shown all the same.
  const others = everyPage().filter((page) => !shown.has(page)).sort()
  return [
    ...groups,
    ...group('More', others.flatMap((page) => entry(page))),
    ...group('For contributors', contributors),
  ]
}

/** Files of the repository that pages link to: they are copied into the site. */
const COPIED = [
  ['config/examples', 'examples-files'],
  ['website/gophership.schema.json', 'gophership.schema.json'],
  ['website/gs-ctl.schema.json', 'gs-ctl.schema.json'],
  ['website/manifest.schema.json', 'manifest.schema.json'],
]

/** Turns links to files of the repository into links to their copies. */
function copies(md) {
  const render = md.renderer.rules.link_open
  md.renderer.rules.link_open = (tokens, index, options, env, self) => {
    const href = tokens[index].attrGet('href') ?? ''
    const copy = /(?:^|\/)config\/examples\/([\w.-]+)$/.exec(href)
    const schema = /(?:^|\/)((?:gophership|gs-ctl|manifest)\.schema\.json)$/.exec(href)
    if (copy) tokens[index].attrSet('href', `/examples-files/${copy[1]}`)
    if (schema) tokens[index].attrSet('href', `/${schema[1]}`)
    if (copy || schema) tokens[index].attrSet('target', '_self')
    return render(tokens, index, options, env, self)
  }
}

/** Notes at each cell of a table the head of its column, which a phone shows beside the cell. */
function labels(md) {
  md.core.ruler.push('labels', ({ tokens }) => {
    let heads = []
    let column = 0
    tokens.forEach((token, index) => {
      if (token.type === 'table_open') heads = []
      if (token.type === 'tr_open') column = 0
      if (token.type === 'th_open') heads.push(tokens[index + 1].content)
      if (token.type === 'td_open') token.attrSet('data-label', heads[column++] ?? '')
    })
  })
}

/** Puts each example below the line that links to it. */
const examples = {
  name: 'examples',
  enforce: 'pre',
  transform(text, id) {
    if (!id.endsWith('/website/examples.md')) return
    return text.replace(/^- \[([\w.-]+\.yaml)\]\(.*$/gm, (line, name) => {
      const yaml = readFileSync(join(repository, 'config/examples', name), 'utf8')
      return `${line}\n\n::: details ${name}\n\`\`\`yaml\n${yaml.trimEnd()}\n\`\`\`\n:::\n`
    })
  },
}

/** Pages whose tables need the room of the outline. */
const WIDE = /^(components\/|guides\/from-|operations\/(failures|metrics|troubleshooting)|configuration|glossary|torture)/

export default defineConfig({
  title: 'GopherShip',
  description: 'A shock absorber for telemetry: an OTLP gateway with a write-ahead log on disk.',
  lang: 'en',
  base: process.env.WEBSITE_BASE ?? '/',
  outDir: join(repository, 'target/website'),
  cacheDir: join(repository, 'target/website-cache'),
  srcExclude: ['node_modules/**', 'tools/**'],
  metaChunk: true,
  head: [['link', { rel: 'icon', href: `${process.env.WEBSITE_BASE ?? '/'}icon.svg`, type: 'image/svg+xml' }]],
  markdown: {
    theme: { light: 'github-light', dark: 'github-dark' },
    config: (md) => { copies(md); labels(md) },
  },
  vite: { plugins: [examples], build: { chunkSizeWarningLimit: 2000 } },
  transformPageData(page) {
    if (WIDE.test(page.relativePath)) page.frontmatter.aside = false
  },
  buildEnd({ outDir }) {
    for (const [from, to] of COPIED) {
      mkdirSync(dirname(join(outDir, to)), { recursive: true })
      cpSync(join(repository, from), join(outDir, to), { recursive: true })
    }
  },
  themeConfig: {
    nav: [
      { text: 'Start', link: '/start' },
      { text: 'Concepts', link: '/concepts' },
      { text: 'Reference', link: '/configuration', activeMatch: '^/(configuration|components)' },
      { text: 'Operations', link: '/operations', activeMatch: '^/operations' },
    ],
    sidebar: sidebar(),
    outline: { level: [2, 3] },
    search: { provider: 'local' },
    docFooter: { prev: 'Before', next: 'Next' },
    externalLinkIcon: true,
  },
})
