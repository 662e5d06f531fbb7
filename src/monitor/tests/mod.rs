//! The monitor stepped like a protocol core: virtual time, scripted outcomes, transcripts.

mod alerts;
mod commands;
mod rounds;
mod survival;
mod world;
