"""Global routing of a placement, the judge of its routability, and the demand for wires."""
