//! What to measure and how long, from the arguments.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

const USAGE: &str = "cargo bench -p shared -- [--quick] [--only enqueue,drain,cost,pickup,memory,idle,recovery] \
                     [--rounds N] [--tasks N] [--json FILE]";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Enqueue,
    Drain,
    Cost,
    Pickup,
    Memory,
    Idle,
    Recovery,
}

pub struct Options {
    pub sections: Vec<Section>,
    /// Small sizes, one round, no million: to see that it works.
    pub quick: bool,
    /// Medians are of so many.
    pub rounds: usize,
    /// Tasks of one round where throughput is measured.
    pub tasks: usize,
    pub json: PathBuf,
}

/// What a worker process is to do.
pub struct Orders {
    pub url: String,
    /// A worker of the queue, or one that uses bare commands.
    pub raw: bool,
    pub slots: usize,
    pub batch: usize,
}

pub enum Role {
    Runner(Options),
    Worker(Orders),
}

impl Section {
    const ALL: [(&str, Self); 7] = [
        ("enqueue", Self::Enqueue),
        ("drain", Self::Drain),
        ("cost", Self::Cost),
        ("pickup", Self::Pickup),
        ("memory", Self::Memory),
        ("idle", Self::Idle),
        ("recovery", Self::Recovery),
    ];

    fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, section)| *section).with_context(|| format!("no section '{name}': {USAGE}"))
    }
}

impl Role {
    pub fn from_args() -> Result<Self> {
        // Cargo adds --bench.
        let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
        if args.first().is_some_and(|arg| arg == "worker") {
            let [_, kind, url, slots, batch] = args.as_slice() else { bail!("worker KIND URL SLOTS BATCH") };
            let (slots, batch) = (slots.parse()?, batch.parse()?);
            return Ok(Self::Worker(Orders { url: url.clone(), raw: kind == "raw", slots, batch }));
        }
        let quick = args.iter().any(|arg| arg == "--quick");
        let mut options = Options {
            sections: Section::ALL.map(|(_, section)| section).to_vec(),
            quick,
            rounds: if quick { 1 } else { 5 },
            tasks: if quick { 4_000 } else { 40_000 },
            json: "target/bench.json".into(),
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value: {USAGE}"));
            match arg.as_str() {
                "--quick" => {}
                "--only" => {
                    options.sections = value()?.split(',').map(Section::named).collect::<Result<_>>()?;
                }
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--tasks" => options.tasks = value()?.parse::<usize>()?.max(100),
                "--json" => options.json = value()?.into(),
                _ => bail!("no option '{arg}': {USAGE}"),
            }
        }
        Ok(Self::Runner(options))
    }
}
