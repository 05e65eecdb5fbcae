"""Made-up traffic for both logs, in bulk: to look at the pages with, and to measure them at a size (tests/scale).

`traffic` invents requests and their endings, `blocks` makes any number of a sample of them, `audit` and `errors` turn them
into rows, `loading` writes rows fast. What must stay true: the same seed gives the same traffic, and the logs' own
invariants hold of it (counts, places, sizes).
"""
