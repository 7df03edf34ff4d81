"""Templates to Ignition configs.

A template is a Butane document, or an Ignition config in YAML or JSON, whose strings may hold Jinja expressions. Each string is
rendered on its own after the document has been parsed, so that no value can change the structure around it. Structure that
depends on values is made by statements that stand as keys, whose values are what is repeated or chosen.
"""

from ignition.render.template import Rendered, Template, render

__all__ = ["Rendered", "Template", "render"]
