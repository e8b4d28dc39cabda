//! Shapes and behaviour of whole networks: any size from 8×8 up, odd and non-square; training against inference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Gradients, Tensor};
use cdarts_nets::ops::Operation;
use cdarts_nets::{
    ArchWeights, DistillHeads, DropPath, EvalNet, FoundNet, Initialiser, StageMixture, Stem, Supernet,
};
use cdarts_space::{CellKind, ImageShape, NetworkSpec, Op, ReductionPosition, Stem as StemKind, published};

fn spec(height: usize, width: usize) -> NetworkSpec {
    NetworkSpec {
        stem: StemKind::Cifar,
        image: ImageShape { channels: 2, height, width },
        classes: 3,
        init_channels: 4,
        stem_multiplier: 2,
        cells_per_stage: vec![2, 1, 1],
        reduction: ReductionPosition::Last,
    }
}

fn images(n: usize, spec: &NetworkSpec, device: &Device) -> Tensor<4> {
    let ImageShape { channels, height, width } = spec.image;
    device.seed(1);
    Tensor::random([n, channels, height, width], Distribution::Normal(0.0, 1.0), device)
}

/// How many parameters of a module a backward pass reached, of how many.
fn gradients<M: Module>(module: &M, grads: &Gradients) -> (usize, usize) {
    struct Reached<'a>(&'a Gradients, usize, usize);
    impl ModuleVisitor for Reached<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.1 += usize::from(param.val().grad(self.0).is_some());
                self.2 += 1;
            }
        }
    }
    let mut visitor = Reached(grads, 0, 0);
    module.visit(&mut visitor);
    (visitor.1, visitor.2)
}

#[test]
fn every_operation_keeps_or_halves_the_size() {
    let device = Device::flex();
    for op in Op::ALL {
        for stride in [1, 2_usize] {
            for [h, w] in [[8_usize, 8], [7, 5], [1, 2], [2, 1], [9, 16]] {
                let built = Operation::new(op, 4, stride, false, &mut Initialiser::new(0, &device));
                let y = built.forward(Tensor::<4>::ones([2, 4, h, w], &device));
                assert_eq!(y.dims(), [2, 4, h.div_ceil(stride), w.div_ceil(stride)], "{op} {stride} {h}×{w}");
            }
        }
    }
}

#[test]
fn networks_take_any_size_from_8_by_8_up() {
    let device = Device::flex().autodiff();
    for (h, w) in [(8, 8), (27, 18), (9, 33)] {
        let spec = spec(h, w);
        let plan = spec.plan().unwrap();
        let init = Initialiser::new(3, &device);
        let genotype = published("cdarts-cifar").unwrap();
        let (stem, arch) = (Stem::of(&plan, &mut init.at(0)), ArchWeights::new(true, &init.at(1)));
        let supernet = Supernet::new(&plan, &init.at(2));
        let evalnet = EvalNet::new(&plan, &genotype, false, &init.at(3));
        let heads = DistillHeads::new(&plan, &init.at(4));
        let mixture = StageMixture::new(heads.len(), true, &mut init.at(5));

        let states = stem.forward(images(2, &spec, &device));
        let search = supernet.forward(states.clone(), &arch);
        let eval = evalnet.forward(states, None);
        for (features, cells) in [(&search, "search"), (&eval, "evaluation")] {
            for (state, stage) in features.stages.iter().zip(&plan.stages) {
                let [rows, columns] = stage.out_size;
                assert_eq!(
                    state.clone().plain().dims(),
                    [2, stage.out_channels, rows, columns],
                    "{cells} {h}×{w}"
                );
            }
        }
        let output = heads.forward(search);
        assert_eq!(output.stage_logits.len(), 2);
        assert_eq!(mixture.stack(&output).dims(), [6, 3]);
        assert_eq!(mixture.sum(&output).dims(), [2, 3]);
        let loss = mixture.stack(&output).mean() + mixture.stack(&heads.forward(eval)).mean();
        let grads = loss.backward();
        for (reached, all) in [
            gradients(&stem, &grads),
            gradients(&arch, &grads),
            gradients(&supernet, &grads),
            gradients(&evalnet, &grads),
            gradients(&heads, &grads),
            gradients(&mixture, &grads),
        ] {
            assert!(reached == all && all > 0, "{reached} of {all}, {h}×{w}");
        }
    }
}

#[test]
fn mixing_weights_of_a_node_add_up_to_one() {
    let device = Device::flex();
    for edge_weights in [false, true] {
        let arch = ArchWeights::new(edge_weights, &Initialiser::new(5, &device));
        let mixing: Vec<f32> = arch.cell(0, CellKind::Normal).mixing().into_data().try_to_vec().unwrap();
        for node in 0..4 {
            let edges = cdarts_space::edges_of(node);
            let sum: f32 = mixing[edges.start * 8..edges.end * 8].iter().sum();
            assert!((sum - 1.0).abs() < 1e-6, "node {node}: {sum}");
        }
    }
}

#[test]
fn inference_does_not_depend_on_the_rest_of_the_batch() {
    let device = Device::flex().autodiff();
    let spec = spec(8, 8);
    let net = FoundNet::new(
        &spec.plan().unwrap(),
        published("darts-v2").unwrap(),
        true,
        &Initialiser::new(1, &device),
    );
    let x = images(4, &spec, &device);
    // A training pass moves the running statistics.
    net.forward_training(x.clone(), &mut DropPath::new(0.2, 9));
    let valid = net.valid();
    let x = x.inner();
    let all: Vec<f32> = valid.forward(x.clone()).into_data().try_to_vec().unwrap();
    let one: Vec<f32> = valid.forward(x.slice([2..3])).into_data().try_to_vec().unwrap();
    for (a, b) in all[6..9].iter().zip(&one) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn drop_path_follows_its_seed_and_keeps_the_mean() {
    let device = Device::flex().autodiff();
    let spec = spec(8, 8);
    let net = FoundNet::new(
        &spec.plan().unwrap(),
        published("pdarts").unwrap(),
        false,
        &Initialiser::new(1, &device),
    );
    let x = images(3, &spec, &device);
    let logits = |probability: f64, seed: u64| -> Vec<f32> {
        let output = net.forward_training(x.clone(), &mut DropPath::new(probability, seed));
        output.logits.into_data().try_to_vec().unwrap()
    };
    assert_eq!(logits(0.5, 1), logits(0.5, 1));
    assert_ne!(logits(0.5, 1), logits(0.5, 2));
    assert_eq!(logits(0.0, 1), logits(0.0, 2));
}
