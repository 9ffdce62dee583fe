// The default theme, with our colours and the picture of the landing page.
import { h } from 'vue'
import DefaultTheme from 'vitepress/theme'
import Idea from './Idea.vue'
import './style.css'

export default {
  extends: DefaultTheme,
  Layout: () => h(DefaultTheme.Layout, null, { 'home-hero-after': () => h(Idea) }),
}
