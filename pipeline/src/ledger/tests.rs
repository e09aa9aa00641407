//! What concerns the engine's parts. What it decides stands in `tests/scenarios/`, in the words of the business.

mod holds;
mod workers;
