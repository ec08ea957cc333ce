//! Tests of the gate: by example, over all small pairs, at random against a simple model, and with a crash at every write.

mod by_example;
mod controllers;
mod corpus;
mod crash;
mod done;
mod model;
mod pairs;
mod race;
mod shelf;
mod trust;
