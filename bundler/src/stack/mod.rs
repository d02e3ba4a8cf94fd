//! Stacks and components: read from `targets/`, built in or laid over, and checked once.

pub mod component;
