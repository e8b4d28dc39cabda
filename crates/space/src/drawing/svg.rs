//! Cells as a self-contained SVG picture: inputs at the left, output at the right, an operation as a label in
//! front of the node it feeds. Colours follow the reader's light or dark setting.

use std::fmt::Write as _;

use super::Picture;
use super::graph::{CellGraph, Family, GraphEdge};
use super::layout::{Layout, Line, Part, Place, Spacing, layout};
use crate::{CellGenotype, CellKind};

/// Sizes in pixels.
const LABEL: [f64; 2] = [68.0, 22.0];
const NODE_RADIUS: f64 = 15.0;
/// Of an arrow.
const HEAD: [f64; 2] = [8.0, 9.0];
const END: [f64; 2] = [50.0, 30.0];
/// From a label to its node.
const ARROW: f64 = 24.0;
/// Between two columns, where lines change their height.
const BETWEEN: f64 = 50.0;
const MARGIN: f64 = 22.0;
const TITLE: f64 = 34.0;
const LEGEND: f64 = 62.0;
/// Between the legend's two lines.
const LEGEND_LINE: f64 = 22.0;
const SPACING: Spacing = Spacing { per_edge: 29.0, least: 36.0, passing: 12.0, gap: 9.0 };

/// All cells side by side, with a legend.
pub fn svg(picture: impl Into<Picture>) -> String {
    drawn(&picture.into())
}

/// One cell of the DARTS space alone, with a legend; `kind` is its title.
pub fn cell_svg(cell: &CellGenotype, kind: CellKind) -> String {
    drawn(&Picture::of_darts_cell(cell, kind))
}

/// One cell, laid out but not yet placed.
struct Panel<'a> {
    cell: &'a CellGraph,
    layout: Layout,
}

fn drawn(picture: &Picture) -> String {
    let panels: Vec<Panel<'_>> = picture.cells.iter().map(Panel::of).collect();
    let legend = Legend::of(picture);
    let rows: Vec<Row<'_>> = panels.chunks(picture.columns.max(1)).map(Row).collect();
    let width = rows.iter().map(Row::width).fold(legend.width() + 2.0 * MARGIN, f64::max);
    let height = rows.iter().map(Row::height).sum::<f64>() + LEGEND;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"cdarts-cell\" role=\"img\" \
         viewBox=\"0 0 {} {}\" width=\"{}\" height=\"{}\">\n<title>{}</title>\n{}\
         <rect class=\"page\" width=\"100%\" height=\"100%\" rx=\"10\"/>\n",
        Px(width),
        Px(height),
        Px(width),
        Px(height),
        escaped(&picture.title),
        style(picture.families)
    );
    let mut top = 0.0;
    for row in &rows {
        svg.push_str(&row.drawn((width - row.width()) / 2.0, top));
        top += row.height();
    }
    svg.push_str(&legend.drawn((width - legend.width()) / 2.0, top + 12.0));
    let states = Px(top + 12.0 + LEGEND_LINE + 4.0);
    let _ = writeln!(
        svg,
        "<text class=\"note middle\" x=\"{}\" y=\"{states}\">{}</text>",
        Px(width / 2.0),
        picture.states
    );
    svg.push_str("</svg>\n");
    svg
}

/// Cells side by side.
struct Row<'a>(&'a [Panel<'a>]);

impl Row<'_> {
    fn width(&self) -> f64 {
        self.0.iter().map(|panel| panel.width() + 2.0 * MARGIN).sum()
    }

    fn drawing(&self) -> f64 {
        self.0.iter().map(|panel| panel.layout.height).fold(0.0, f64::max)
    }

    fn height(&self) -> f64 {
        MARGIN + TITLE + self.drawing() + MARGIN
    }

    fn drawn(&self, left: f64, top: f64) -> String {
        let mut svg = String::new();
        let mut left = left + MARGIN;
        for panel in self.0 {
            let aside = MARGIN + TITLE + (self.drawing() - panel.layout.height) / 2.0;
            svg.push_str(&panel.drawn(left, top + aside, aside));
            left += panel.width() + 2.0 * MARGIN;
        }
        svg
    }
}

/// For use as the text of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Classes under one name, so that the picture can stand inside a page. Everything has its light colour
/// first: readers without media queries show that.
fn style(families: &[Family]) -> String {
    let rule = |family: &Family, colour: &str, what: &str| {
        format!(".cdarts-cell {what}.{}{{{colour}}}", family.class())
    };
    let mut css = String::from(
        ".cdarts-cell text{font:12px system-ui,'DejaVu Sans',sans-serif;text-anchor:middle;fill:#0f172a}\
         .cdarts-cell .title{font-size:14px;font-weight:600}\
         .cdarts-cell .note{text-anchor:start;fill:#334155}\
         .cdarts-cell .middle{text-anchor:middle}\
         .cdarts-cell .changed{fill:none;stroke:#0f172a;stroke-width:2}\
         .cdarts-cell .sub{font-size:9px}\
         .cdarts-cell .page{fill:#fff}\
         .cdarts-cell .end{fill:#f1f5f9;stroke:#64748b}\
         .cdarts-cell .node{fill:#fff;stroke:#334155;stroke-width:1.5}\
         .cdarts-cell .label text{fill:#fff}\
         .cdarts-cell path{fill:none;stroke-width:1.8}\
         .cdarts-cell .concat{stroke:#94a3b8;stroke-width:1.2;stroke-dasharray:4 3}\n",
    );
    for family in families {
        css.push_str(&rule(family, &format!("stroke:{}", family.colour()), "path"));
        css.push_str(&rule(family, &format!("fill:{}", family.colour()), "polygon"));
        css.push_str(&rule(family, &format!("fill:{}", family.colour()), "rect"));
    }
    css.push_str(
        "\n@media (prefers-color-scheme:dark){\
         .cdarts-cell text{fill:#e2e8f0}.cdarts-cell .note{fill:#cbd5e1}.cdarts-cell .changed{stroke:#f8fafc}.cdarts-cell .page{fill:#0f172a}\
         .cdarts-cell .end{fill:#1e293b;stroke:#94a3b8}.cdarts-cell .node{fill:#0f172a;stroke:#cbd5e1}\
         .cdarts-cell .concat{stroke:#64748b}",
    );
    for family in families {
        css.push_str(&rule(family, &format!("stroke:{}", family.light_colour()), "path"));
        css.push_str(&rule(family, &format!("fill:{}", family.light_colour()), "polygon"));
    }
    format!("<style>\n{css}}}\n</style>\n")
}

// ---- one cell -------------------------------------------------------------------------------------

impl<'a> Panel<'a> {
    fn of(cell: &'a CellGraph) -> Self {
        Self { cell, layout: layout(cell, &SPACING) }
    }

    fn width(&self) -> f64 {
        let (_, right) = self.column(self.layout.layers - 1);
        right
    }

    /// Left and right end of a column.
    fn column(&self, layer: usize) -> (f64, f64) {
        let node_column = LABEL[0] + ARROW + 2.0 * NODE_RADIUS;
        if layer == 0 {
            return (0.0, END[0]);
        }
        let left = END[0] + BETWEEN + (layer - 1) as f64 * (node_column + BETWEEN);
        let is_output = layer + 1 == self.layout.layers;
        (left, left + if is_output { END[0] } else { node_column })
    }

    /// `heading` is the height above it that its title has.
    fn drawn(&self, left: f64, top: f64, heading: f64) -> String {
        let mut svg = format!("<g transform=\"translate({} {})\">\n", Px(left), Px(top));
        let middle = Px(self.width() / 2.0);
        let title_y = Px(MARGIN + TITLE - heading - 18.0);
        let _ = writeln!(
            svg,
            "<text class=\"title\" x=\"{middle}\" y=\"{title_y}\">{}</text>",
            escaped(&self.cell.title)
        );
        // Lines into the output first: the operations' lines cross over them.
        for line in self.layout.lines.iter().rev() {
            self.draw_line(&mut svg, line);
        }
        for place in &self.layout.places {
            self.draw_place(&mut svg, place);
        }
        svg.push_str("</g>\n");
        svg
    }

    fn draw_line(&self, svg: &mut String, line: &Line) {
        let (path, x, y) = self.way(line);
        let Some(edge) = line.edge else {
            let _ = writeln!(svg, "<path class=\"concat\" d=\"{path}\"/>");
            return;
        };
        let class = edge.family.class();
        let tip = self.tip(line, x, y);
        let curve = Curve { from: [x + LABEL[0], y], to: [tip[0] - HEAD[0], tip[1]] };
        let _ = write!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
        let _ = write!(svg, "<path class=\"{class}\" d=\"M{} {}{curve}\"/>", Px(x + LABEL[0]), Px(y));
        let _ = write!(
            svg,
            "<polygon class=\"{class}\" points=\"{},{} {2},{3} {2},{4}\"/>",
            Px(tip[0]),
            Px(tip[1]),
            Px(tip[0] - HEAD[0]),
            Px(tip[1] - HEAD[1] / 2.0),
            Px(tip[1] + HEAD[1] / 2.0),
        );
        svg.push_str(&label(&edge, x, y));
        svg.push('\n');
    }

    /// The way of a line as path data, and the left middle of its label (or its end in the output).
    fn way(&self, line: &Line) -> (String, f64, f64) {
        let mut from = [0.0, 0.0];
        let mut path = String::new();
        for (i, &at) in line.places.iter().enumerate() {
            let place = &self.layout.places[at];
            let (left, right) = self.column(place.layer);
            let is_last = i + 1 == line.places.len();
            let y = if is_last { self.entry_height(line) } else { place.y };
            if i == 0 {
                let _ = write!(path, "M{} {}", Px(right), Px(y));
            } else {
                let _ = write!(path, "{}", Curve { from, to: [left, y] });
            }
            if place.part == Part::Passing {
                let _ = write!(path, "H{}", Px(right));
            }
            from = [if is_last { left } else { right }, y];
        }
        (path, from[0], from[1])
    }

    /// Height at which a line meets its target's column: the labels of a node are stacked in the order of
    /// the heights their lines come from.
    fn entry_height(&self, line: &Line) -> f64 {
        let target = line.places[line.places.len() - 1];
        let y = self.layout.places[target].y;
        if line.edge.is_none() {
            return y;
        }
        let comes_from = |line: &Line| self.layout.places[line.places[line.places.len() - 2]].y;
        let mut entering: Vec<&Line> = self.entering(target).collect();
        entering.sort_by(|a, b| comes_from(a).total_cmp(&comes_from(b)));
        let rank = entering.iter().position(|other| std::ptr::eq(*other, line)).unwrap_or(0);
        y + rank as f64 * SPACING.per_edge - reach(entering.len())
    }

    fn entering(&self, target: usize) -> impl Iterator<Item = &Line> {
        self.layout.lines.iter().filter(move |line| line.places.last() == Some(&target))
    }

    /// Where on its node's rim a line ends whose label is at height `y`: each at a point of its own.
    fn tip(&self, line: &Line, label_left: f64, y: f64) -> [f64; 2] {
        let target = line.places[line.places.len() - 1];
        let node_y = self.layout.places[target].y;
        let scale = (0.8 * NODE_RADIUS / reach(self.entering(target).count()).max(1.0)).min(0.5);
        let aside = (y - node_y) * scale;
        let rim = NODE_RADIUS - (NODE_RADIUS * NODE_RADIUS - aside * aside).sqrt();
        [label_left + LABEL[0] + ARROW + rim, node_y + aside]
    }

    fn draw_place(&self, svg: &mut String, place: &Place) {
        let (left, right) = self.column(place.layer);
        let (middle, y) = ((left + right) / 2.0, place.y);
        match place.part {
            Part::Passing => {}
            Part::Input(input) => draw_end(svg, middle, y, &self.cell.inputs[input].replace('-', "−")),
            Part::Output => draw_end(svg, middle, y, "k"),
            Part::Node(node) => {
                let x = right - NODE_RADIUS;
                let _ = writeln!(
                    svg,
                    "<circle class=\"node\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>\
                     <text x=\"{}\" y=\"{}\">{}</text>",
                    Px(x),
                    Px(y),
                    Px(NODE_RADIUS),
                    Px(x),
                    Px(y + 4.0),
                    self.cell.number(node),
                );
            }
        }
    }
}

/// From the middle of a stack of labels to the middle of its last.
fn reach(labels: usize) -> f64 {
    labels.saturating_sub(1) as f64 / 2.0 * SPACING.per_edge
}

/// An input or the output of a cell.
fn draw_end(svg: &mut String, x: f64, y: f64, index: &str) {
    let [width, height] = END;
    let _ = writeln!(
        svg,
        "<rect class=\"end\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\"/>\
         <text x=\"{}\" y=\"{}\">c<tspan class=\"sub\" dy=\"3\">{index}</tspan></text>",
        Px(x - width / 2.0),
        Px(y - height / 2.0),
        Px(width),
        Px(height),
        Px(x),
        Px(y + 3.0),
    );
}

/// An operation's label; `y` is its middle.
fn label(edge: &GraphEdge, left: f64, y: f64) -> String {
    let [width, height] = LABEL;
    format!(
        "<g class=\"label\"><rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>\
         <text x=\"{}\" y=\"{}\">{}</text></g>",
        edge.family.class(),
        Px(left),
        Px(y - height / 2.0),
        Px(width),
        Px(height),
        Px(height / 2.0),
        Px(left + width / 2.0),
        Px(y + 4.0),
        edge.label,
    ) + &if edge.is_changed { changed([left, y], LABEL) } else { String::new() }
}

/// A frame around what only one of two cells has; `at` is the left middle of what is framed.
fn changed([left, y]: [f64; 2], [width, height]: [f64; 2]) -> String {
    let (width, height) = (width + 5.0, height + 5.0);
    format!(
        "<rect class=\"changed\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>",
        Px(left - 2.5),
        Px(y - height / 2.0),
        Px(width),
        Px(height),
        Px(height / 2.0),
    )
}

// ---- legend ---------------------------------------------------------------------------------------

/// What the colours and the dashed lines mean.
struct Legend<'a> {
    families: &'a [Family],
    output: &'a str,
    comparison: bool,
}

/// What a frame around a label means.
const CHANGED: &str = "in one of both only";

impl<'a> Legend<'a> {
    fn of(picture: &'a Picture) -> Self {
        Self { families: picture.families, output: picture.output, comparison: picture.is_comparison() }
    }

    fn width(&self) -> f64 {
        let families: f64 = self.families.iter().map(|family| entry_width(family.title())).sum();
        let changed = if self.comparison { entry_width(CHANGED) } else { 0.0 };
        families + entry_width(self.output) + changed
    }

    fn drawn(&self, left: f64, y: f64) -> String {
        let mut svg = String::from("<g>\n");
        let mut x = left;
        let text = |x: f64, title: &str| {
            format!("<text class=\"note\" x=\"{}\" y=\"{}\">{title}</text>", Px(x + 27.0), Px(y + 4.0))
        };
        for family in self.families {
            let _ = writeln!(
                svg,
                "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"20\" height=\"12\" rx=\"6\"/>{}",
                family.class(),
                Px(x),
                Px(y - 6.0),
                text(x, family.title()),
            );
            x += entry_width(family.title());
        }
        let _ =
            writeln!(svg, "<path class=\"concat\" d=\"M{} {}h20\"/>{}", Px(x), Px(y), text(x, self.output));
        if self.comparison {
            x += entry_width(self.output);
            let _ = writeln!(svg, "{}{}", changed([x, y], [20.0, 9.0]), text(x, CHANGED));
        }
        svg.push_str("</g>\n");
        svg
    }
}

/// Room for a sample, its title in the fonts there are, and a gap.
fn entry_width(title: &str) -> f64 {
    48.0 + 6.3 * title.chars().count() as f64
}

// ---- numbers --------------------------------------------------------------------------------------

/// A length written with at most one decimal.
struct Px(f64);

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = (self.0 * 10.0).round() / 10.0;
        // Adding zero turns -0 into 0.
        write!(f, "{}", tenths + 0.0)
    }
}

/// A curve that leaves and arrives level, as path data behind its starting point.
struct Curve {
    from: [f64; 2],
    to: [f64; 2],
}

impl std::fmt::Display for Curve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let middle = Px((self.from[0] + self.to[0]) / 2.0);
        let [x, y] = self.to;
        write!(f, "C{middle} {} {middle} {} {} {}", Px(self.from[1]), Px(y), Px(x), Px(y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PUBLISHED, nas_bench_201};

    #[test]
    fn labels_keep_clear_of_each_other_and_of_nodes() {
        let darts = PUBLISHED.iter().map(|known| Picture::from(&known.genotype()));
        let others = nas_bench_201::Genotype::all().step_by(101).map(|genotype| Picture::from(&genotype));
        for picture in darts.chain(others) {
            for cell in &picture.cells {
                let panel = Panel::of(cell);
                let edges = panel.layout.lines.iter().filter(|line| line.edge.is_some());
                let labels: Vec<[f64; 2]> = edges
                    .map(|line| {
                        let (_, left, y) = panel.way(line);
                        [left + LABEL[0] / 2.0, y]
                    })
                    .collect();
                for (i, a) in labels.iter().enumerate() {
                    for b in &labels[..i] {
                        let apart = (a[0] - b[0]).abs() >= LABEL[0] || (a[1] - b[1]).abs() >= LABEL[1];
                        assert!(apart, "{cell:?}");
                    }
                    for place in
                        panel.layout.places.iter().filter(|place| matches!(place.part, Part::Node(_)))
                    {
                        let x = panel.column(place.layer).1 - NODE_RADIUS;
                        let apart = (a[0] - x).abs() >= LABEL[0] / 2.0 + NODE_RADIUS
                            || (a[1] - place.y).abs() >= LABEL[1] / 2.0 + NODE_RADIUS;
                        assert!(apart, "{cell:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_have_at_most_one_decimal() {
        assert_eq!(
            [Px(1.0), Px(2.25), Px(-0.01), Px(0.3333)].map(|px| px.to_string()),
            ["1", "2.3", "0", "0.3"]
        );
    }
}
