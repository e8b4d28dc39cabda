//! `cdarts cost`.

use std::str::FromStr;

use cdarts_space::cost::Cost;
use cdarts_space::{Architecture, ImageShape, NetworkSpec, ReductionPosition, Skeleton, Stem, nas_bench_201};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::genotype;
use crate::error::CliError;
use crate::exit::Exit;
use crate::summary::row;
use crate::terminal;
use crate::wording::count;

/// Count the parameters and multiply-adds of a network made of a genotype
///
/// Counted are stem, cells and classifier, without an auxiliary head. Multiply-adds are those of convolutions and
/// linear layers for one image.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts cost cdarts-cifar
  cdarts cost cdarts-imagenet --layout imagenet
  cdarts cost runs/2026-11-24-digits-s1 --channels 24 --cells 3,3,2 --size 64x48 --classes 5
  cdarts cost darts-v2 --layers
  cdarts cost darts-v2 --json
  cdarts cost nas-bench-201-cell-1 --channels 8 --cells 2

Layouts, and what they start from:
  cifar           36 channels, cells 7,7,6, size 32, 10 classes
  imagenet        48 channels, cells 5,5,4, size 224, 1000 classes
  search          16 channels, cells 7,7,6, size 32, 10 classes; the evaluation network of a search
  nas-bench-201   16 channels, 5 cells in each stage, size 32, 10 classes; for cells of that space")]
pub struct CostArgs {
    /// Name of a published genotype, a file, a run's folder, or the genotype itself
    #[arg(value_name = "GENOTYPE")]
    genotype: String,

    /// Which network; without it `cifar`, or `nas-bench-201` for a cell of that space
    #[arg(long, value_enum)]
    layout: Option<Layout>,

    /// Channels of a cell in the first stage
    #[arg(long, value_name = "N")]
    channels: Option<usize>,

    /// Cells of each stage; in NAS-Bench-201 one number for all
    #[arg(long, value_name = "N,N,..", value_delimiter = ',')]
    cells: Option<Vec<usize>>,

    /// Classes to tell apart
    #[arg(long, value_name = "N")]
    classes: Option<usize>,

    /// Size of the images in pixels: side, or height x width
    #[arg(long, value_name = "SIZE")]
    size: Option<Size>,

    /// Also list the layers
    #[arg(long)]
    layers: bool,

    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// The network that CIFAR-10 results are published with
    Cifar,
    /// The network that ImageNet results are published with
    Imagenet,
    /// The evaluation network of a search: batch norms without scale and shift
    Search,
    /// The evaluation network of a search in NAS-Bench-201
    #[value(name = "nas-bench-201")]
    NasBench201,
}

/// Height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size([usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| "expected a number such as 32, or two such as 224x160".to_owned();
        let (height, width) = text.split_once(['x', '×']).unwrap_or((text, text));
        Ok(Self([height.trim().parse().map_err(wrong)?, width.trim().parse().map_err(wrong)?]))
    }
}

/// The costs with what they are of, as `--json` prints them.
#[derive(Debug, Serialize)]
struct Counted {
    genotype: String,
    network: Skeleton,
    #[serde(flatten)]
    cost: Cost,
}

impl CostArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let architecture = genotype::read(&self.genotype)?.architecture;
        let (network, cost) = self.count(&architecture)?;
        let text = if self.json {
            serde_json::to_string_pretty(&Counted { genotype: architecture.to_string(), network, cost })?
        } else {
            table(&cost, self.layers)
        };
        terminal::result(&text)?;
        Ok(Exit::Done)
    }

    fn count(&self, architecture: &Architecture) -> Result<(Skeleton, Cost), CliError> {
        let skeleton = match architecture {
            Architecture::Darts(_) => {
                let layout = self.layout.unwrap_or(Layout::Cifar);
                Skeleton::Darts(self.darts_spec(layout).ok_or_else(|| other_space(layout, architecture))?)
            }
            Architecture::NasBench201(_) => {
                if let Some(layout) = self.layout.filter(|&layout| layout != Layout::NasBench201) {
                    return Err(other_space(layout, architecture));
                }
                Skeleton::NasBench201(self.nas_bench_201_spec()?)
            }
        };
        let affine = self.layout != Some(Layout::Search);
        let cost = skeleton.plan()?.evaluation_cost(architecture, affine)?;
        Ok((skeleton, cost))
    }

    /// None for the layout of another space.
    fn darts_spec(&self, layout: Layout) -> Option<NetworkSpec> {
        let (stem, channels, stem_multiplier, cells, side, classes) = match layout {
            Layout::Cifar => (Stem::Cifar, 36, 3, [7, 7, 6], 32, 10),
            Layout::Imagenet => (Stem::Imagenet, 48, 1, [5, 5, 4], 224, 1000),
            Layout::Search => (Stem::Cifar, 16, 3, [7, 7, 6], 32, 10),
            Layout::NasBench201 => return None,
        };
        Some(NetworkSpec {
            stem,
            image: self.image(side),
            classes: self.classes.unwrap_or(classes),
            init_channels: self.channels.unwrap_or(channels),
            stem_multiplier,
            cells_per_stage: self.cells.clone().unwrap_or_else(|| cells.to_vec()),
            reduction: ReductionPosition::Last,
        })
    }

    fn nas_bench_201_spec(&self) -> Result<nas_bench_201::NetworkSpec, CliError> {
        let published = nas_bench_201::NetworkSpec::published(self.classes.unwrap_or(10));
        let cells_per_stage = match self.cells.as_deref() {
            None => published.cells_per_stage,
            Some(&[cells]) => cells,
            Some(cells) => return Err(CliError::OneNumberOfCells { found: cells.len() }),
        };
        let init_channels = self.channels.unwrap_or(published.init_channels);
        let image = self.image(published.image.height);
        Ok(nas_bench_201::NetworkSpec { image, init_channels, cells_per_stage, ..published })
    }

    fn image(&self, side: usize) -> ImageShape {
        let Size([height, width]) = self.size.unwrap_or(Size([side, side]));
        ImageShape { channels: 3, height, width }
    }
}

fn other_space(layout: Layout, architecture: &Architecture) -> CliError {
    let layout = layout.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    CliError::LayoutOfOtherSpace { layout, space: architecture.space() }
}

fn table(cost: &Cost, layers: bool) -> String {
    let mut lines = vec![
        row("parameters", &count(cost.params)),
        row("multiply-adds", &format!("{} an image", count(cost.macs))),
    ];
    if layers {
        let width = cost.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(0);
        lines.push(format!("\n{:<width$}  {:>12}  {:>15}  output", "layer", "parameters", "multiply-adds"));
        for layer in &cost.layers {
            let [channels, height, widths] = layer.out;
            let (params, macs) = (count(layer.params), count(layer.macs));
            lines.push(format!(
                "{:<width$}  {params:>12}  {macs:>15}  {channels}×{height}×{widths}",
                layer.name
            ));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_one_number_or_two() {
        assert_eq!("32".parse(), Ok(Size([32, 32])));
        assert_eq!("224x160".parse(), Ok(Size([224, 160])));
        for wrong in ["", "x", "32x", "-1", "3.5", "1x2x3"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
