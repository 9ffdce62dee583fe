// Checks the built site: every link, image and anchor leads somewhere inside it, and no page asks another host for anything.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, posix, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const site = resolve(dirname(fileURLToPath(import.meta.url)), '../../target/website')

function files(dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((file) =>
    file.isDirectory() ? files(join(dir, file.name)) : [join(dir, file.name)])
}

const pages = files(site).filter((file) => file.endsWith('.html'))
const texts = new Map(pages.map((page) => [page, readFileSync(page, 'utf8')]))
const anchors = new Map([...texts].map(([page, text]) => [
  page, new Set([...text.matchAll(/\sid="([^"]+)"/g)].map((found) => found[1])),
]))

/** Finds the file that a path of the site leads to. */
function target(path) {
  const file = join(site, path)
  const candidates = [file, `${file}.html`, join(file, 'index.html')]
  return candidates.find((it) => existsSync(it) && statSync(it).isFile())
}

const problems = []
let checked = 0
for (const [page, text] of texts) {
  const name = relative(site, page)
  for (const [, , attribute, value] of text.matchAll(/<(\w+)[^>]*?\s(href|src)="([^"]*)"/g)) {
    const link = value.replaceAll('&amp;', '&')
    if (link.startsWith('data:') || link.startsWith('mailto:')) continue
    checked += 1
    if (/^(https?:)?\/\//.test(link)) {
      const isPlainLink = attribute === 'href' && text.includes(`<a href="${value}"`)
      if (!isPlainLink) problems.push(`${name}: loads ${link} from another host`)
      continue
    }
    const [path, anchor] = link.split('#')
    const from = posix.join('/', posix.dirname(name))
    const file = path === '' ? page : target(path.startsWith('/') ? path : posix.join(from, path))
    if (!file) {
      problems.push(`${name}: nothing is at ${link}`)
    } else if (anchor && file.endsWith('.html') && !anchors.get(file).has(decodeURIComponent(anchor))) {
      problems.push(`${name}: ${link} has no such anchor`)
    }
  }
}
for (const problem of new Set(problems)) console.error(problem)
console.log(`${pages.length} pages, ${checked} links, ${new Set(problems).size} problems`)
process.exit(problems.length || pages.length < 10 ? 1 : 0)
