"""How pages of their own look, on a screen and on paper: the one style of matrix, review, findings, log and difference."""

PAGE_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 96rem; padding: 0 1rem; color: #1c1c1c; }
table { border-collapse: collapse; width: 100%; } thead { display: table-header-group; } tr { break-inside: avoid; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem; border-bottom: 1px solid #ccc; overflow-wrap: anywhere; }
th { background: #eee; } code { font-size: .9em; overflow-wrap: anywhere; }
td.more { background: #e3f4e3; } td.less { background: #fbe4e4; } td.both { background: #fdf3d4; }
.cause { color: #555; font-size: .9em; } .note { border-left: 4px solid #d9a400; padding-left: .8rem; }
@media screen and (prefers-color-scheme: dark) {
  body { background: #1a1a1a; color: #e8e8e8; } .cause { color: #aaa; } th, td { border-color: #444; } th { background: #333; }
  td.more { background: #1d3a1d; } td.less { background: #4a2020; } td.both { background: #463a10; }
}
@page { size: A4 landscape; margin: 12mm; }
@media print {
  body { font-size: 9px; margin: 0; max-width: none; padding: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
