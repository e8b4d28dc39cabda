//! `cdarts cost` against the published networks.

use serde_json::Value;

use crate::invoke::Workplace;
use crate::published_costs::{TABLE, tenths_of_a_million};

#[test]
fn the_complete_table_of_published_genotypes_is_reproduced() {
    let workplace = Workplace::new();
    let cost = |name: &str, options: &[&str]| {
        let counted = workplace.succeed(&[&["cost", name, "--json"], options].concat()).stdout;
        let counted: Value = serde_json::from_str(&counted).unwrap();
        ["params", "macs", "activation_bytes"].map(|key| {
            let layers = counted["layers"].as_array().unwrap().iter();
            let sum: u64 = layers.map(|layer| layer[key].as_u64().unwrap()).sum();
            assert_eq!(counted[key].as_u64(), Some(sum), "{name}: {key} of the layers");
            sum
        })
    };
    for (name, cifar10, cifar10_macs, cifar100, imagenet, imagenet_macs, search_time) in TABLE {
        let [params, macs, bytes] = cost(name, &[]);
        assert_eq!((params, tenths_of_a_million(macs)), (cifar10, cifar10_macs), "{name}, CIFAR-10");
        assert_eq!(cost(name, &["--classes", "100"])[0], cifar100, "{name}, CIFAR-100");
        let [params, macs, _] = cost(name, &["--layout", "imagenet"]);
        assert_eq!((params, tenths_of_a_million(macs)), (imagenet, imagenet_macs), "{name}, ImageNet");
        assert_eq!(cost(name, &["--layout", "search"])[0], search_time, "{name}, during the search");
        // Of twice the height twice the memory, but for the classifier.
        let doubled = cost(name, &["--size", "64x32"])[2];
        assert_eq!(doubled, 2 * bytes - 4 * 10, "{name}: bytes of activations");
    }
}
