//! Golden values from PyTorch: the generator that scripts and tests share (`tools/golden/values.py`), the files, and
//! comparison with them.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use cdarts_nets::fused::on_stock_operations;
use cdarts_nets::{Features, State, Stem, arch::host_values, weights};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// What networks are made of on the CPU: burn's own operations, or the kernels.
pub const PATHS: [&str; 2] = ["stock", "fused"];

/// Largest error of an output, relative to the largest value of its tensor.
pub const OUTPUT: f64 = 1e-5;
/// Largest error of a gradient, likewise.
pub const GRADIENT: f64 = 1e-4;

/// Runs `action` on one of [`PATHS`].
pub fn on<T>(path: &str, action: impl FnOnce() -> T) -> T {
    if path == "stock" { on_stock_operations(action) } else { action() }
}

/// The values of one seed: they depend on a name and a position only.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: String,
}

impl Generator {
    /// The values of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed: seed.to_string() }
    }

    /// Multiples of 2⁻²³ in [-1, 1): SplitMix64 on a start that the name decides (FNV-1a).
    fn units(&self, name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
        let hash = |start: u64, byte: u8| (start ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        let start = format!("{}:{name}", self.seed).bytes().fold(0xCBF2_9CE4_8422_2325, hash);
        (1..=count as u64).map(move |position| {
            let mut z = start.wrapping_add(position.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            (z >> 40) as f64 / 8_388_608.0 - 1.0
        })
    }

    /// Uniform in [-bound, bound).
    pub fn uniform<const D: usize>(&self, name: &str, shape: [usize; D], bound: f64) -> TensorData {
        let values = self.units(name, shape.iter().product()).map(|unit| (unit * bound) as f32);
        TensorData::new(values.collect::<Vec<f32>>(), shape)
    }

    /// Class labels.
    pub fn labels(&self, name: &str, count: usize, classes: usize) -> Vec<i64> {
        self.units(name, count).map(|unit| ((unit + 1.0) / 2.0 * classes as f64).floor() as i64).collect()
    }

    fn parameter(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let kind = name.rsplit('.').next().unwrap();
        let fan_in = if shape.len() == 2 { shape[0] } else { shape[1..].iter().product() };
        let (offset, bound) = match kind {
            "weight" => (0.0, 1.0 / (fan_in as f64).sqrt()),
            "gamma" | "running_variance" => (1.0, 0.25),
            _ => (0.0, 0.25),
        };
        let units = self.units(name, shape.iter().product());
        units.map(|unit| (offset + unit * bound) as f32).collect()
    }

    /// `module` with the value of every parameter and running statistic that its name, behind `prefix`, stands for.
    pub fn fill<M: Module>(&self, module: M, prefix: &str) -> M {
        let bytes = weights::to_bytes(&module).unwrap();
        let values: Vec<(String, Vec<usize>, Vec<u8>)> = SafeTensors::deserialize(&bytes)
            .unwrap()
            .iter()
            .map(|(name, view)| {
                // PyTorch's network has one set of architecture weights, and no number for it.
                let place = name.strip_prefix("sets.0.").unwrap_or(name);
                let values = self.parameter(&format!("{prefix}{place}"), view.shape());
                (
                    name.to_owned(),
                    view.shape().to_vec(),
                    values.into_iter().flat_map(f32::to_le_bytes).collect(),
                )
            })
            .collect();
        let views = values
            .iter()
            .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        weights::from_bytes(module, &safetensors::serialize(views, None).unwrap()).unwrap()
    }
}

/// A golden file.
#[derive(Debug)]
pub struct Golden {
    tensors: BTreeMap<String, Vec<f64>>,
    metadata: BTreeMap<String, String>,
}

impl Golden {
    /// Reads `tests/golden/{name}.safetensors` of the crate that lies in `manifest`.
    pub fn open(manifest: &str, name: &str) -> Self {
        let path = Path::new(manifest).join(format!("tests/golden/{name}.safetensors"));
        let bytes = std::fs::read(path).unwrap();
        let metadata = SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone().unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors.iter().map(|(name, view)| (name.to_owned(), read(&view))).collect();
        Self { tensors, metadata: metadata.into_iter().collect() }
    }

    /// The names of all cases.
    pub fn cases(&self) -> impl Iterator<Item = &str> {
        self.metadata.keys().filter_map(|key| key.strip_suffix("/seed"))
    }

    /// The values that a case is made from.
    pub fn generator(&self, case: &str) -> Generator {
        Generator { seed: self.metadata[&format!("{case}/seed")].clone() }
    }

    /// Comparison of all tensors of a case; `path` says what is compared.
    pub fn compare(&self, case: &str, path: &str) -> Comparison<'_> {
        let prefix = format!("{case}/");
        let names = self.tensors.keys().filter(|key| !key.ends_with("/error"));
        let left = names.filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect();
        Comparison {
            golden: self,
            prefix,
            path: path.to_owned(),
            left,
            worst: Vec::new(),
            failures: Vec::new(),
        }
    }
}

fn read(view: &TensorView<'_>) -> Vec<f64> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::F32 => {
            bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
        }
        other => panic!("a golden file holds no {other:?}"),
    }
}

/// What is left to compare of a case, and what was found.
#[derive(Debug)]
pub struct Comparison<'a> {
    golden: &'a Golden,
    prefix: String,
    path: String,
    left: BTreeSet<String>,
    /// Error over what is allowed, and the tensor.
    worst: Vec<(f64, String)>,
    failures: Vec<String>,
}

impl Comparison<'_> {
    /// Compares a tensor: its error, relative to its largest value, may be `tolerance`, or twice that of PyTorch's single
    /// precision where this is more.
    pub fn check(&mut self, name: &str, found: &[f32], tolerance: f64) {
        self.group(name, &BTreeMap::from([(String::new(), found.to_vec())]), tolerance);
    }

    /// Compares a group of named tensors, each as [`Self::check`] does.
    pub fn group(&mut self, name: &str, found: &BTreeMap<String, Vec<f32>>, tolerance: f64) {
        let key = format!("{}{name}", self.prefix);
        let (Some(mut expected), true) =
            (self.golden.tensors.get(&key).map(Vec::as_slice), self.left.remove(name))
        else {
            self.failures.push(format!("{name}: there is no such golden tensor, or it was compared before"));
            return;
        };
        let errors = &self.golden.tensors[&format!("{key}/error")];
        let (count, values) = (found.len(), found.values().map(Vec::len).sum::<usize>());
        if (count, values) != (errors.len(), expected.len()) {
            let golden = format!("{} of {} values", errors.len(), expected.len());
            self.failures.push(format!("{name}: {count} tensors of {values} values instead of {golden}"));
            return;
        }
        for ((member, found), &single) in found.iter().zip(errors) {
            let (own, rest) = expected.split_at(found.len());
            expected = rest;
            let (error, allowed) = (difference(found, own), tolerance.max(2.0 * single));
            let report =
                format!("{name} {member}: {error:.1e} apart, {allowed:.1e} allowed, PyTorch {single:.1e}");
            if error.is_nan() || error > allowed {
                self.failures.push(report.clone());
            }
            self.worst.push((error / allowed, report));
        }
    }

    /// Compares an output.
    pub fn output<const D: usize>(&mut self, name: &str, found: Tensor<D>) {
        self.check(name, &host_values(found), OUTPUT);
    }

    /// # Panics
    /// Where something was too far apart, or was not compared.
    pub fn finish(self) {
        let Self { prefix, path, left, mut worst, mut failures, .. } = self;
        failures.extend(left.into_iter().map(|name| format!("{name}: not compared")));
        worst.sort_by(|a, b| b.0.total_cmp(&a.0));
        if let Some((ratio, report)) = worst.first() {
            println!("{prefix} {path}: worst {:.0} % of what is allowed, {report}", 100.0 * ratio);
        }
        assert!(failures.is_empty(), "{prefix} {path}:\n{}", failures.join("\n"));
    }
}

/// The largest difference, relative to the largest value.
pub fn difference(found: &[f32], expected: &[f64]) -> f64 {
    let nan_max = |a: f64, b: f64| if b.is_nan() { b } else { a.max(b) };
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let apart =
        found.iter().zip(expected).fold(0.0, |apart, (&f, e)| nan_max(apart, (f64::from(f) - e).abs()));
    if largest > 0.0 { apart / largest } else { apart }
}

/// The gradients of a module's parameters, by `prefix` and name.
pub fn gradients<M: Module>(prefix: &str, module: &M, grads: &Gradients) -> BTreeMap<String, Vec<f32>> {
    let gradients = Visitor::visit(module, Some(grads)).into_iter();
    gradients.filter_map(|one| Some((format!("{prefix}{}", one.name), one.gradient?))).collect()
}

/// A module's parameters, without running statistics, by name and in the module's order.
pub fn parameters<M: Module>(module: &M) -> Vec<(String, TensorData)> {
    let all = visited(module).into_iter().map(|one| (one.name, one.data));
    all.filter(|(name, _)| !name.contains("running_")).collect()
}

/// A module's parameters and running statistics, in the module's order.
pub fn visited<M: Module>(module: &M) -> Vec<Visited> {
    Visitor::visit(module, None)
}

/// A parameter or running statistic.
#[derive(Debug)]
pub struct Visited {
    /// Its place in the module.
    pub name: String,
    /// Its identity.
    pub id: ParamId,
    /// Its values.
    pub data: TensorData,
    gradient: Option<Vec<f32>>,
}

struct Visitor<'a> {
    path: Vec<String>,
    grads: Option<&'a Gradients>,
    found: Vec<Visited>,
}

impl<'a> Visitor<'a> {
    fn visit<M: Module>(module: &M, grads: Option<&'a Gradients>) -> Vec<Visited> {
        let mut visitor = Self { path: Vec::new(), grads, found: Vec::new() };
        module.visit(&mut visitor);
        visitor.found
    }
}

impl ModuleVisitor for Visitor<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push(Visited {
            name: self.path.join("."),
            id: param.id,
            data: param.val().into_data(),
            gradient: self.grads.and_then(|grads| param.val().grad(grads)).map(host_values),
        });
    }
}

/// A generated tensor that gradients are asked of.
pub fn input<const D: usize>(values: &Generator, name: &str, shape: [usize; D], bound: f64) -> Tensor<D> {
    Tensor::from_data(values.uniform(name, shape, bound), &Device::flex().autodiff()).require_grad()
}

/// The sum over an output with generated coefficients.
pub fn weighted<const D: usize>(values: &Generator, name: &str, output: &Tensor<D>) -> Tensor<1> {
    let coefficients = values.uniform(&format!("coefficient/{name}"), output.dims(), 1.0);
    output.clone().mul(Tensor::from_data(coefficients, &output.device())).sum()
}

/// Compares a network behind its stem on `images`, `[n, c, h, w]`. `forward` gives its features.
pub fn compare_network<M: Module, A: Module>(
    golden: &Golden,
    (case, path): (&str, &str),
    (stem, images): (Stem, [usize; 4]),
    (net, arch): (M, Option<A>),
    forward: impl Fn(&M, [State; 2], Option<&A>) -> Features,
) {
    let values = golden.generator(case);
    let (net, arch) = (values.fill(net, "net."), arch.map(|arch| values.fill(arch, "arch.")));
    let stem = values.fill(stem, "stem.");
    let x = input(&values, "images", images, 2.0);
    let features = on(path, || forward(&net, stem.forward(x.clone()), arch.as_ref()));
    let mut comparison = golden.compare(case, path);
    let mut loss = weighted(&values, "logits", &features.logits);
    comparison.output("logits", features.logits);
    for (index, stage) in features.stages.into_iter().enumerate() {
        let (name, stage) = (format!("stage{index}"), stage.plain());
        loss = loss + weighted(&values, &name, &stage);
        comparison.output(&name, stage);
    }
    let grads = loss.backward();
    let mut found = gradients("net.", &net, &grads);
    found.extend(gradients("stem.", &stem, &grads));
    found.extend(arch.iter().flat_map(|arch| gradients("arch.", arch, &grads)));
    found.insert("images".to_owned(), host_values(x.grad(&grads).unwrap()));
    comparison.group("gradient", &found, GRADIENT);
    let (net, stem, arch) = (net.valid(), stem.valid(), arch.map(|arch| arch.valid()));
    let inference = on(path, || forward(&net, stem.forward(x.inner()), arch.as_ref()));
    comparison.output("inference/logits", inference.logits);
    comparison.finish();
}
