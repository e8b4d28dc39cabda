//! `cdarts bench`.

use std::time::{Duration, Instant};

use cdarts_nets::fused::on_stock_operations;
use cdarts_nets::laps::{self, Lap, Way};
use cdarts_search::bench::{Effort, Shape, Work, Workload};
use cdarts_space::Op;
use clap::builder::{PossibleValue, RangedU64ValueParser};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::options::ThreadOptions;
use crate::error::CliError;
use crate::exit::Exit;
use crate::summary::row;
use crate::terminal;
use crate::wording::{count, counted, percent};

/// Time a cell, a network or a whole training step on this machine
///
/// The work is done on random images by the code that a search runs, so that the figures are those of a search. A step
/// is done once to warm up, then timed again and again. Shown are the median with the least and the largest time, the
/// images a second, how fast the arithmetic of the convolutions ran, and the most memory that the process ever had.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts bench cell
  cdarts bench joint-step --batch 64 --threads 4
  cdarts bench joint-step --profile              where the time of a step goes
  cdarts bench cell --stock                      the same on the tensor library's own operations
  cdarts bench sep-conv-3x3 --channels 64 --size 8 --json

Multiply-adds are those of convolutions and linear layers; a step counts as three forward
passes, one there and two back. Let nothing else run meanwhile: on a shared machine the least
time says more than the median.

`tools/bench/compare NAME` times the same work in PyTorch, in turn with this one.")]
pub struct BenchArgs {
    /// What to time
    #[arg(value_enum, value_name = "NAME")]
    name: Name,

    /// Channels of the first cell, or of the operation
    #[arg(long, value_name = "C", value_parser = up_to(1 << 16))]
    channels: Option<usize>,

    /// Height and width of the images
    #[arg(long, value_name = "S", value_parser = up_to(1 << 16))]
    size: Option<usize>,

    /// Images a batch
    #[arg(long, value_name = "N", value_parser = up_to(1 << 20))]
    batch: Option<usize>,

    /// Steps to time
    #[arg(long, value_name = "K", value_parser = up_to(1 << 20))]
    steps: Option<usize>,

    #[command(flatten)]
    threads: ThreadOptions,

    /// Use the tensor library's own operations instead of the fused kernels
    #[arg(long)]
    stock: bool,

    /// Also say where the time goes
    #[arg(long)]
    profile: bool,

    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

fn up_to(limit: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::from(1..=limit)
}

/// The names of the work, in the order of the help text. `tools/bench/workloads.py` has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    name: &'static str,
    what: &'static str,
    work: Work,
    usual: Shape,
    steps: usize,
}

const NAMES: &[Name] = &[
    name("cell", "One search cell between inputs of 3C channels", Work::Cell, [16, 32, 64], 10),
    name("supernet", "The search network with cross entropy", Work::Supernet, [16, 32, 32], 5),
    name(
        "joint-step",
        "A whole joint step of a search, optimisers included",
        Work::JointStep,
        [16, 32, 32],
        3,
    ),
    name("retrain-step", "A training step of a found network", Work::RetrainStep, [36, 32, 128], 3),
    name(
        "nas-bench-201",
        "The search network of NAS-Bench-201 with cross entropy",
        Work::NasBench201,
        [16, 32, 32],
        5,
    ),
    name("dense", "A dense 3x3 convolution with norm", Work::Dense, [16, 32, 64], 20),
    name("max-pool-3x3", "Maximum pooling", Work::Operation(Op::MaxPool3x3), [16, 32, 64], 20),
    name("avg-pool-3x3", "Average pooling", Work::Operation(Op::AvgPool3x3), [16, 32, 64], 20),
    name("sep-conv-3x3", "Separable 3x3 convolution", Work::Operation(Op::SepConv3x3), [16, 32, 64], 20),
    name("sep-conv-5x5", "Separable 5x5 convolution", Work::Operation(Op::SepConv5x5), [16, 32, 64], 20),
    name("dil-conv-3x3", "Dilated 3x3 convolution", Work::Operation(Op::DilConv3x3), [16, 32, 64], 20),
    name("dil-conv-5x5", "Dilated 5x5 convolution", Work::Operation(Op::DilConv5x5), [16, 32, 64], 20),
    name("factorized-reduce", "The skip connection of stride 2", Work::FactorizedReduce, [16, 32, 64], 20),
];

const fn name(
    name: &'static str,
    what: &'static str,
    work: Work,
    [channels, size, batch]: [usize; 3],
    steps: usize,
) -> Name {
    Name { name, what, work, usual: Shape { channels, size, batch }, steps }
}

impl ValueEnum for Name {
    fn value_variants<'a>() -> &'a [Self] {
        NAMES
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let Shape { channels, size, batch } = self.usual;
        let help = format!("{}; C={channels}, {size}x{size}, batch {batch}", self.what);
        Some(PossibleValue::new(self.name).help(help))
    }
}

/// What was measured, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Measured {
    name: &'static str,
    channels: usize,
    size: usize,
    batch: usize,
    threads: usize,
    stock: bool,
    /// Of every step after the first.
    ms: Vec<f64>,
    median_ms: f64,
    images_per_second: f64,
    /// Multiply-adds of a step's forward passes.
    forward_macs: u64,
    /// Two operations a multiply-add, one pass there and two back.
    gflops_per_second: f64,
    params: usize,
    /// MB of 2^20 bytes; absent where the system does not tell.
    peak_mb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Vec<PartTime>>,
}

/// A part's share of a step.
#[derive(Debug, Serialize)]
struct PartTime {
    part: &'static str,
    way: &'static str,
    ms: f64,
}

impl BenchArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let usual = self.name.usual;
        let shape = Shape {
            channels: self.channels.unwrap_or(usual.channels),
            size: self.size.unwrap_or(usual.size),
            batch: self.batch.unwrap_or(usual.batch),
        };
        let effort = self.name.work.effort(shape)?;
        refuse_beyond_memory(effort.bytes)?;
        let threads = self.threads.start()?;
        let measured = match self.stock {
            true => on_stock_operations(|| self.measure(shape, effort, threads)),
            false => self.measure(shape, effort, threads),
        }?;
        let text = if self.json { serde_json::to_string(&measured)? } else { self.told(&measured) };
        terminal::result(&text)?;
        Ok(Exit::Done)
    }

    fn measure(&self, shape: Shape, effort: Effort, threads: usize) -> Result<Measured, CliError> {
        let steps = self.steps.unwrap_or(self.name.steps);
        let mut workload = self.name.work.prepare(shape)?;
        let (times, mut laps) = timed(&mut workload, steps, self.profile)?;
        laps.iter_mut().for_each(|lap| lap.2 /= u32::try_from(steps).unwrap_or(u32::MAX));
        let ms: Vec<f64> = times.iter().map(|&time| milliseconds(time)).collect();
        let median_ms = median(&ms);
        let Shape { channels, size, batch } = shape;
        Ok(Measured {
            name: self.name.name,
            channels,
            size,
            batch,
            threads,
            stock: self.stock,
            images_per_second: batch as f64 / median_ms * 1e3,
            forward_macs: effort.macs,
            gflops_per_second: gflop(effort.macs) / median_ms * 1e3,
            params: workload.params,
            peak_mb: peak_mb(),
            profile: self.profile.then(|| laps.iter().map(part_time).collect()),
            ms,
            median_ms,
        })
    }

    fn told(&self, measured: &Measured) -> String {
        let Measured { channels, size, batch, threads, .. } = measured;
        let kernels = if measured.stock { "the tensor library's operations" } else { "fused kernels" };
        let steps = counted(measured.ms.len(), "step");
        let [least, largest] =
            [f64::min, f64::max].map(|choose| measured.ms.iter().copied().reduce(choose).unwrap_or(f64::NAN));
        let mut lines = vec![
            format!("{}: C={channels}, {size}x{size}, batch {batch}", self.name.name),
            format!("{}, {kernels}, {steps} after one to warm up\n", counted(*threads, "thread")),
            row("time", &format!("{:.1} ms a step ({least:.1} to {largest:.1})", measured.median_ms)),
            row("images", &format!("{:.1} a second", measured.images_per_second)),
        ];
        if measured.forward_macs > 0 {
            let [all, rate] = [gflop(measured.forward_macs), measured.gflops_per_second];
            lines.push(row("arithmetic", &format!("{all:.2} GFLOP a step, {rate:.1} GFLOP/s")));
        }
        lines.push(row("parameters", &count(measured.params as u64)));
        let peak = measured.peak_mb.map_or_else(|| "unknown".to_owned(), |peak| format!("{peak:.0} MB"));
        lines.push(row("peak memory", &peak));
        if let Some(parts) = &measured.profile {
            lines.push(profile(parts));
        }
        lines.join("\n")
    }
}

fn refuse_beyond_memory(needed: u64) -> Result<(), CliError> {
    let memory = sysinfo::MemoryRefreshKind::nothing().with_ram();
    let system =
        sysinfo::System::new_with_specifics(sysinfo::RefreshKind::nothing().with_memory(memory)).ok();
    match system.map(|system| system.total_memory()) {
        Some(there) if there > 0 && needed > there => Err(CliError::BeyondMemory { needed, there }),
        _ => Ok(()),
    }
}

/// The times of the steps after a first one, and of their parts together.
fn timed(
    workload: &mut Workload,
    steps: usize,
    profile: bool,
) -> Result<(Vec<Duration>, Vec<Lap>), CliError> {
    let mut times = Vec::with_capacity(steps);
    let mut all: Vec<Lap> = Vec::new();
    for index in 0..=steps {
        let start = Instant::now();
        let (value, laps) = match profile {
            true => laps::watch("everything else", || workload.step()),
            false => (workload.step(), Vec::new()),
        };
        let elapsed = start.elapsed();
        if !value.is_finite() {
            return Err(CliError::StepNotFinite { step: index, value });
        }
        if index > 0 {
            times.push(elapsed);
            laps.iter().for_each(|lap| add(&mut all, lap));
        }
    }
    Ok((times, all))
}

fn add(all: &mut Vec<Lap>, &(name, way, time): &Lap) {
    match all.iter_mut().find(|lap| (lap.0, lap.1) == (name, way)) {
        Some(lap) => lap.2 += time,
        None => all.push((name, way, time)),
    }
}

fn part_time(&(part, way, time): &Lap) -> PartTime {
    let way = match way {
        Way::Forward => "forward",
        Way::Backward => "backward",
    };
    PartTime { part, way, ms: milliseconds(time) }
}

/// The parts of a step, the longest first.
fn profile(parts: &[PartTime]) -> String {
    let whole: f64 = parts.iter().map(|part| part.ms).sum();
    let mut sorted: Vec<&PartTime> = parts.iter().collect();
    sorted.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let line = |part: &&PartTime| {
        let name =
            if part.way == "backward" { format!("{}, backward", part.part) } else { part.part.to_owned() };
        format!("  {name:<40}{:>10.1} ms{:>10}", part.ms, percent(part.ms / whole))
    };
    let lines: Vec<String> = sorted.iter().map(line).collect();
    format!("\nwhere a step's time goes (means)\n{}", lines.join("\n"))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn gflop(forward_macs: u64) -> f64 {
    6.0 * forward_macs as f64 / 1e9
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The most memory that this process ever had, where Linux tells.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        refuse_beyond_memory(1 << 20).unwrap();
        let refused = refuse_beyond_memory(u64::MAX);
        assert!(matches!(refused, Err(CliError::BeyondMemory { needed: u64::MAX, .. })), "{refused:?}");
    }
}
