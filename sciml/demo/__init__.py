"""`sciml demo`: four sciences on one page, without network.

First what the shipped weights and exact tools do, then one small training per science that shows
pretraining beside a start from scratch, whichever wins. In reading order: `parts` (what there is),
`schedule` (child processes, time left), `page` (which fills as parts finish), then the parts:
`integrals`, `jets`, `contacts`, `circuit`, `pretraining`.
"""

from sciml.demo.command import demo

__all__ = ["demo"]
