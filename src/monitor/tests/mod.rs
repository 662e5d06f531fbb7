//! The monitor stepped like a protocol core: virtual time, scripted outcomes, transcripts.

mod alerts;
mod behind;
mod commands;
mod endings;
mod lines;
mod rounds;
mod survival;
mod world;
