//! Where the parts of a cell stand in a picture: layers from left to right after Sugiyama, Tagawa and Toda
//! (IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981).
//!
//! A node stands one layer behind its latest source. A line over several layers gets a place of its own in
//! each layer it passes, so it runs between the nodes and never through one. Places within a layer are
//! ordered to cross few lines and then set as level with their neighbours as their heights allow.

use super::graph::{CellGraph, GraphEdge};

/// What stands at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Cell input, from 0.
    Input(usize),
    /// Node, from 0.
    Node(usize),
    /// The cell's output.
    Output,
    /// A line on its way to a later layer.
    Passing,
}

/// One place in the picture.
pub(super) struct Place {
    /// What stands there.
    pub part: Part,
    /// Its column.
    pub layer: usize,
    /// Its middle, in pixels from the top.
    pub y: f64,
    height: f64,
}

/// A line from place to place, one a layer.
pub(super) struct Line {
    /// The edge it stands for; none for a node's way into the output.
    pub edge: Option<GraphEdge>,
    /// Places from source to target.
    pub places: Vec<usize>,
}

/// A cell laid out.
pub(super) struct Layout {
    /// All places; lines refer to them by position.
    pub places: Vec<Place>,
    /// All lines: edges in the order of the genotype, then the ways into the output.
    pub lines: Vec<Line>,
    /// Number of columns, inputs and output included.
    pub layers: usize,
    /// Height of the whole, in pixels; places lie within it.
    pub height: f64,
}

/// Height of a place and the least distance between two.
pub(super) struct Spacing {
    /// A node, for each edge that enters it.
    pub per_edge: f64,
    /// An input, the output, and a node at least.
    pub least: f64,
    /// A passing line.
    pub passing: f64,
    /// Between two places.
    pub gap: f64,
}

/// Lays a cell out.
pub(super) fn layout(cell: &CellGraph, spacing: &Spacing) -> Layout {
    let mut builder = Builder::with_places_of(cell, spacing);
    for edge in cell.drawn_edges() {
        builder.add_line(Some(*edge), edge.source, cell.state(edge.node));
    }
    let output = cell.state(cell.nodes);
    for &node in &cell.outputs {
        builder.add_line(None, cell.state(node), output);
    }
    builder.order();
    builder.set_level();
    builder.finish()
}

struct Builder<'a> {
    spacing: &'a Spacing,
    places: Vec<Place>,
    lines: Vec<Line>,
    /// Places of each layer from top to bottom.
    layers: Vec<Vec<usize>>,
}

impl<'a> Builder<'a> {
    fn with_places_of(cell: &CellGraph, spacing: &'a Spacing) -> Self {
        let depths = depths(cell);
        let layers = depths.iter().max().map_or(2, |deepest| deepest + 2);
        let mut builder =
            Self { spacing, places: Vec::new(), lines: Vec::new(), layers: vec![Vec::new(); layers] };
        for (state, &depth) in depths.iter().enumerate() {
            let (part, height) = match state.checked_sub(cell.inputs.len()) {
                None => (Part::Input(state), spacing.least),
                Some(node) => {
                    let entering = cell.drawn_edges().filter(|edge| edge.node == node).count();
                    (Part::Node(node), spacing.least.max(entering as f64 * spacing.per_edge))
                }
            };
            builder.add_place(part, depth, height);
        }
        builder.add_place(Part::Output, layers - 1, spacing.least);
        builder
    }

    fn add_place(&mut self, part: Part, layer: usize, height: f64) -> usize {
        self.places.push(Place { part, layer, y: 0.0, height });
        self.layers[layer].push(self.places.len() - 1);
        self.places.len() - 1
    }

    fn add_line(&mut self, edge: Option<GraphEdge>, source: usize, target: usize) {
        let (first, last) = (self.places[source].layer, self.places[target].layer);
        let mut places = vec![source];
        for layer in first + 1..last {
            places.push(self.add_place(Part::Passing, layer, self.spacing.passing));
        }
        places.push(target);
        self.lines.push(Line { edge, places });
    }

    /// All steps of lines from one layer to the next.
    fn steps(&self) -> Vec<(usize, usize)> {
        self.lines.iter().flat_map(|line| line.places.windows(2).map(|pair| (pair[0], pair[1]))).collect()
    }

    // ---- order within a layer ---------------------------------------------------------------------

    /// Exchanges neighbours as long as that removes crossings. The inputs keep their order, so that cells
    /// can be compared at a glance.
    fn order(&mut self) {
        let steps = self.steps();
        self.sort_by_neighbours(&steps);
        let mut fewest = crossings(&self.ranks(), &self.places, &steps);
        loop {
            let before = fewest;
            for layer in 1..self.layers.len() {
                for i in 1..self.layers[layer].len() {
                    self.layers[layer].swap(i - 1, i);
                    let now = crossings(&self.ranks(), &self.places, &steps);
                    if now < fewest {
                        fewest = now;
                    } else {
                        self.layers[layer].swap(i - 1, i);
                    }
                }
            }
            if fewest == before {
                return;
            }
        }
    }

    /// Starting order: each layer by the mean rank of what it comes from.
    fn sort_by_neighbours(&mut self, steps: &[(usize, usize)]) {
        for layer in 1..self.layers.len() {
            let ranks = self.ranks();
            let mean_rank = |place: &usize| {
                let sources = steps.iter().filter(|(_, to)| to == place);
                mean(sources.map(|&(from, _)| (ranks[from] as f64, 1.0))).unwrap_or(0.0)
            };
            self.layers[layer].sort_by(|a, b| mean_rank(a).total_cmp(&mean_rank(b)));
        }
    }

    /// Rank of every place within its layer.
    fn ranks(&self) -> Vec<usize> {
        let mut ranks = vec![0; self.places.len()];
        for layer in &self.layers {
            layer.iter().enumerate().for_each(|(rank, &place)| ranks[place] = rank);
        }
        ranks
    }

    // ---- height within a layer --------------------------------------------------------------------

    /// Sweeps over the layers, setting each as level as possible with the layers around it.
    fn set_level(&mut self) {
        const SWEEPS: usize = 200;
        let steps = self.steps();
        for sweep in 0..SWEEPS {
            for i in 0..self.layers.len() {
                let layer = if sweep % 2 == 0 { i } else { self.layers.len() - 1 - i };
                self.set_layer_level(layer, &steps);
            }
        }
    }

    fn set_layer_level(&mut self, layer: usize, steps: &[(usize, usize)]) {
        let wanted = |place: usize| {
            let neighbours = steps.iter().filter_map(|&(from, to)| match place {
                _ if from == place => Some(to),
                _ if to == place => Some(from),
                _ => None,
            });
            mean(neighbours.map(|other| (self.places[other].y, self.stiffness(place, other))))
        };
        let layer = &self.layers[layer];
        let mut offset = 0.0;
        let mut offsets = Vec::new();
        for (i, &place) in layer.iter().enumerate() {
            if i > 0 {
                let halves = (self.places[layer[i - 1]].height + self.places[place].height) / 2.0;
                offset += halves + self.spacing.gap;
            }
            offsets.push(offset);
        }
        let wanted: Vec<f64> =
            layer.iter().zip(&offsets).map(|(&p, o)| wanted(p).unwrap_or(0.0) - o).collect();
        for ((&place, y), offset) in layer.iter().zip(non_decreasing(&wanted)).zip(offsets) {
            self.places[place].y = y + offset;
        }
    }

    /// How much two neighbours want to be level: a line that passes several layers should run straight.
    fn stiffness(&self, a: usize, b: usize) -> f64 {
        let passing = [a, b].into_iter().filter(|&place| self.places[place].part == Part::Passing).count();
        [1.0, 2.0, 8.0][passing]
    }

    fn finish(mut self) -> Layout {
        let top = self.places.iter().map(|place| place.y - place.height / 2.0).fold(f64::INFINITY, f64::min);
        self.places.iter_mut().for_each(|place| place.y -= top);
        let height = self.places.iter().map(|place| place.y + place.height / 2.0).fold(0.0, f64::max);
        Layout { places: self.places, lines: self.lines, layers: self.layers.len(), height }
    }
}

/// Layer of every state: 0 for the inputs, one more than the latest source for a node.
fn depths(cell: &CellGraph) -> Vec<usize> {
    let mut depths = vec![0; cell.inputs.len()];
    for node in 0..cell.nodes {
        let sources = cell.drawn_edges().filter(|edge| edge.node == node);
        let latest = sources.map(|edge| depths[edge.source]).max().unwrap_or(0);
        depths.push(latest + 1);
    }
    depths
}

fn crossings(ranks: &[usize], places: &[Place], steps: &[(usize, usize)]) -> usize {
    let cross = |a: &(usize, usize), b: &(usize, usize)| {
        places[a.0].layer == places[b.0].layer
            && (ranks[a.0] < ranks[b.0] && ranks[a.1] > ranks[b.1]
                || ranks[a.0] > ranks[b.0] && ranks[a.1] < ranks[b.1])
    };
    steps.iter().enumerate().map(|(i, a)| steps[..i].iter().filter(|b| cross(a, b)).count()).sum()
}

/// Mean of weighted values; none without values.
fn mean(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weights) =
        values.fold((0.0, 0.0), |(sum, weights), (value, weight)| (sum + value * weight, weights + weight));
    (weights > 0.0).then(|| sum / weights)
}

/// The non-decreasing sequence nearest to `wanted` in squares: neighbours in the wrong order are pooled and
/// take their mean.
fn non_decreasing(wanted: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for &value in wanted {
        let mut pool = (value, 1);
        while let Some(&(mean, count)) = pools.last()
            && mean > pool.0
        {
            let together = count + pool.1;
            pool = ((mean * count as f64 + pool.0 * pool.1 as f64) / together as f64, together);
            pools.pop();
        }
        pools.push(pool);
    }
    pools.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::Picture;
    use crate::{PUBLISHED, nas_bench_201};

    const SPACING: Spacing = Spacing { per_edge: 28.0, least: 36.0, passing: 12.0, gap: 8.0 };

    #[test]
    fn pooling_of_neighbours() {
        assert_eq!(non_decreasing(&[1.0, 3.0, 2.0, 4.0]), [1.0, 2.5, 2.5, 4.0]);
        assert_eq!(non_decreasing(&[3.0, 2.0, 1.0]), [2.0, 2.0, 2.0]);
        assert!(non_decreasing(&[]).is_empty());
    }

    #[test]
    fn places_of_a_layer_keep_their_distance() {
        let darts = PUBLISHED.iter().map(|known| Picture::from(&known.genotype()));
        let others = nas_bench_201::Genotype::all().step_by(101).map(|genotype| Picture::from(&genotype));
        for picture in darts.chain(others) {
            for cell in &picture.cells {
                let layout = layout(cell, &SPACING);
                for (i, a) in layout.places.iter().enumerate() {
                    assert!(a.y - a.height / 2.0 >= -1e-6 && a.y + a.height / 2.0 <= layout.height + 1e-6);
                    for b in layout.places[..i].iter().filter(|b| b.layer == a.layer) {
                        let least = (a.height + b.height) / 2.0 + SPACING.gap;
                        assert!((a.y - b.y).abs() >= least - 1e-6, "{cell:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn lines_step_from_layer_to_layer() {
        for known in PUBLISHED {
            let layout = layout(&Picture::from(&known.genotype()).cells[0], &SPACING);
            assert_eq!(layout.lines.len(), 8 + 4);
            for line in &layout.lines {
                for pair in line.places.windows(2) {
                    assert_eq!(layout.places[pair[0]].layer + 1, layout.places[pair[1]].layer);
                }
            }
        }
    }
}
