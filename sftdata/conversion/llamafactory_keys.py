"""What a training configuration of LLaMA-Factory may say: its own arguments and those of transformers' `Trainer`.

Taken from LLaMA-Factory's `hparams` of August 2026 and transformers 5.23, with the keys of transformers 4 that
LLaMA-Factory's users still have.
"""

from typing import Any, Literal

from sftdata.conversion.reading import make_model

Number = int | float
TYPES: dict[str, Any] = {
    # model
    "model_name_or_path": str,
    "quantization_bit": int,
    "quantization_method": str,
    "quantization_type": str,
    "split_special_tokens": bool,
    "add_tokens": str,
    "add_special_tokens": str,
    "disable_gradient_checkpointing": bool,
    "gradient_checkpointing": bool,
    # method
    "stage": Literal["pt", "sft", "rm", "ppo", "dpo", "kto"],
    "finetuning_type": Literal["lora", "oft", "freeze", "full"],
    "lora_rank": int,
    "lora_alpha": Number,
    "lora_dropout": float,
    "lora_target": str | list[str],
    "additional_target": str | list[str],
    "use_rslora": bool,
    "use_dora": bool,
    "pure_bf16": bool,
    "freeze_trainable_layers": int,
    "freeze_trainable_modules": str,
    "freeze_extra_modules": str,
    # data
    "dataset": str,
    "dataset_dir": str,
    "eval_dataset": str,
    "template": str,
    "default_system": str,
    "cutoff_len": int,
    "train_on_prompt": bool,
    "mask_history": bool,
    "enable_thinking": bool,
    "max_samples": int,
    "val_size": Number,
    "packing": bool,
    "neat_packing": bool,
    "mix_strategy": str,
    "interleave_probs": str,
    "tokenized_path": str,
    "tool_format": str,
    # training
    "output_dir": str,
    "do_train": bool,
    "do_eval": bool,
    "per_device_train_batch_size": int,
    "per_device_eval_batch_size": int,
    "gradient_accumulation_steps": int,
    "auto_find_batch_size": bool,
    "learning_rate": float,
    "weight_decay": float,
    "adam_beta1": float,
    "adam_beta2": float,
    "adam_epsilon": float,
    "max_grad_norm": float,
    "num_train_epochs": float,
    "max_steps": int,
    "lr_scheduler_type": str,
    "lr_scheduler_kwargs": dict[str, Any],
    "warmup_ratio": float,
    "warmup_steps": Number,
    "optim": str,
    "label_smoothing_factor": float,
    "neftune_noise_alpha": float,
    "bf16": bool,
    "fp16": bool,
    "tf32": bool,
    "torch_compile": bool,
    "save_steps": Number,
    "save_strategy": str,
    "save_total_limit": int,
    "logging_steps": Number,
    "eval_strategy": str,
    "evaluation_strategy": str,
    "eval_steps": Number,
    "eval_delay": Number,
    "eval_on_start": bool,
    "load_best_model_at_end": bool,
    "metric_for_best_model": str,
    "early_stopping_steps": int,
    "seed": int,
    "use_cpu": bool,
    "deepspeed": str | dict[str, Any],
    "fsdp": str | bool | list[str],
    "fsdp_config": str | dict[str, Any],
    "resume_from_checkpoint": str | bool,
}
"""Keys whose values are looked at, and what they must be."""

PREFERENCE = "sftdata trains on responses alone: no rewards, no preferences"
IMAGES = "sftdata trains on text alone"
WITHOUT: dict[str, str] = {
    "start from an adapter: merge it into the model first, and give that as train.model": (
        "adapter_name_or_path adapter_folder create_new_adapter"
    ),
    "give a local folder with that revision as train.model": "model_revision",
    "make the change to model and tokenizer first, save both in one folder, and give it as train.model and as "
    "tokenize.tokenizer": "resize_vocab new_special_tokens_config init_special_tokens rope_scaling train_from_scratch",
    "no such change of the model; leave it out, or make a model of your own (docs/training.md)": (
        "shift_attn mixture_of_depths use_llama_pro moe_aux_loss_coef upcast_layernorm upcast_lmhead_output"
    ),
    "no such start of the adapters; they begin as LoRA's do": "pissa_init pissa_iter pissa_convert",
    "one learning rate for all weights; try train.lora with a higher one": "loraplus_lr_ratio loraplus_lr_embedding",
    "no such adapters; train.lora has those of LoRA and DoRA": "module_dropout oft_rank oft_block_size oft_target",
    "AdamW alone; for memory there are lora, quantize, gradient_checkpointing and fsdp": (
        "use_galore galore_target galore_rank galore_update_interval galore_scale galore_proj_type galore_layerwise "
        "use_apollo apollo_target apollo_rank apollo_update_interval apollo_scale apollo_proj apollo_proj_type "
        "apollo_scale_type apollo_layerwise apollo_scale_front use_badam badam_mode badam_start_block "
        "badam_switch_mode "
        "badam_switch_interval badam_update_ratio badam_mask_mode badam_verbose use_adam_mini use_muon optim_args "
        "optim_target_modules lomo"
    ),
    "the loss is the cross-entropy of all trained tokens; weights of rows and turns can change it (docs/schema.md)": (
        "use_dft_loss use_asft_loss asft_alpha use_eaft_loss eaft_alpha"
    ),
    PREFERENCE: (
        "pref_beta pref_ftx pref_bco_weight pref_loss dpo_label_smoothing kto_chosen_weight kto_rejected_weight "
        "simpo_gamma ppo_buffer_size ppo_epochs ppo_score_norm ppo_target ppo_whiten_rewards ref_model "
        "ref_model_adapters ref_model_quantization_bit reward_model reward_model_adapters "
        "reward_model_quantization_bit "
        "reward_model_type ld_alpha"
    ),
    IMAGES: (
        "media_dir image_max_pixels image_min_pixels image_do_pan_and_scan crop_to_patches video_max_pixels "
        "video_min_pixels video_fps video_maxlen use_audio_in_video audio_sampling_rate freeze_vision_tower "
        "freeze_multi_modal_projector freeze_language_model"
    ),
    "the order is always drawn anew in each epoch": (
        "disable_shuffling group_by_length train_sampling_strategy length_column_name sortish_sampler data_seed"
    ),
    "earlier thoughts stay or go as the chat template has it": "preserve_thinking",
    "kernels come from torch; train.compile makes more of them": "fp8 fp8_backend fp8_enable_fsdp_float8_all_gather",
    "the last batch of an epoch is trained like the others": "dataloader_drop_last",
}
"""Advice for keys without an equivalent."""

RUNNING: dict[str, str] = {
    "sftdata keeps no cache, reads in fixed chunks and takes `--workers`": (
        "overwrite_cache preprocessing_batch_size preprocessing_num_workers data_shared_file_system streaming "
        "buffer_size "
        "dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor "
        "dataloader_multiprocessing_context dataloader_in_order accelerator_config parallelism_config cache_dir "
        "remove_unused_columns label_names ignore_pad_token_for_loss"
    ),
    "how a run is shown and kept: docs/training.md says what sftdata writes": (
        "plot_loss report_to run_name project logging_strategy logging_first_step logging_nan_inf_filter "
        "log_on_each_node log_level log_level_replica disable_tqdm include_num_input_tokens_seen "
        "include_tokens_per_second include_effective_tokens_per_second print_param_status skip_memory_metrics "
        "logging_dir trackio_space_id trackio_bucket_id trackio_static_space_id use_swanlab swanlab_project "
        "swanlab_workspace swanlab_run_name swanlab_mode swanlab_api_key swanlab_logdir swanlab_lark_webhook_url "
        "swanlab_lark_secret enable_torch_profiler profiler_output_dir profiler_wait_steps profiler_warmup_steps "
        "profiler_active_steps profiler_repeat profiler_record_shapes profiler_profile_memory profiler_with_stack "
        "profile_modules debug"
    ),
    "sftdata always writes checkpoints that can be resumed, and overwrites no run": (
        "overwrite_output_dir save_only_model save_safetensors save_on_each_node enable_jit_checkpoint "
        "ignore_data_skip "
        "restore_callback_states_from_checkpoint push_to_hub hub_token hub_private_repo hub_model_id hub_strategy "
        "hub_always_push hub_revision"
    ),
    "how several processes work together: docs/training.md, on torchrun": (
        "ddp_timeout ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend "
        "local_rank average_tokens_across_devices ray_num_workers ray_init_kwargs ray_run_name ray_storage_path "
        "ray_storage_filesystem fsdp_transformer_layer_cls_to_wrap resources_per_worker placement_strategy "
        "master_addr master_port use_mca "
        "use_megatron_bridge use_hyper_parallel hyper_parallel_args hyper_parallel_cp_size full_determinism"
    ),
    "sftdata chooses kernels itself, and runs no code of a model's from the hub": (
        "trust_remote_code use_fast_tokenizer low_cpu_mem_usage flash_attn use_unsloth use_unsloth_gc "
        "enable_liger_kernel use_liger_kernel liger_kernel_config use_reentrant_gc gradient_checkpointing_kwargs "
        "activation_checkpointing activation_checkpointing_kwargs use_v1_kernels use_kv_cache use_cache "
        "torch_compile_backend torch_compile_mode torch_empty_cache_steps offload_folder double_quantization "
        "quantization_device_map hf_hub_token ms_hub_token om_hub_token use_kt kt_cpu_activation kt_weight_path "
        "kt_non_expert_weight_path kt_config cpu_infer chunk_size mode kt_optimize_rule"
    ),
    "how the model is measured and asked afterwards: `sftdata evaluate` and `sftdata predict`": (
        "do_predict predict_with_generate compute_accuracy eval_on_each_dataset eval_num_beams prediction_loss_only "
        "generation_max_length generation_num_beams generation_config do_sample temperature top_p top_k num_beams "
        "max_length max_new_tokens repetition_penalty length_penalty skip_special_tokens eval_do_concat_batches "
        "eval_use_gather_object eval_accumulation_steps include_for_metrics batch_eval_metrics bf16_full_eval "
        "fp16_full_eval greater_is_better infer_backend infer_dtype vllm_maxlen vllm_gpu_util vllm_enforce_eager "
        "vllm_max_lora_rank vllm_config sglang_maxlen sglang_mem_fraction sglang_tp_size sglang_config "
        "sglang_lora_backend export_dir export_size export_device export_quantization_bit "
        "export_quantization_dataset "
        "export_quantization_nsamples export_quantization_maxlen export_legacy_format export_hub_model_id"
    ),
}
"""Where to look for keys that say only how LLaMA-Factory runs."""

Configuration = make_model("LLaMA-Factory's configuration", TYPES, {**WITHOUT, **RUNNING})

DatasetInfo = make_model(
    "a dataset of dataset_info.json",
    {
        "file_name": str,
        "hf_hub_url": str,
        "formatting": Literal["alpaca", "sharegpt", "openai"],
        "ranking": bool,
        "subset": str,
        "split": str,
        "folder": str,
        "num_samples": int,
        "columns": make_model(
            "columns",
            dict.fromkeys(
                (
                    "prompt",
                    "query",
                    "response",
                    "history",
                    "messages",
                    "system",
                    "tools",
                    "images",
                    "videos",
                    "audios",
                    "chosen",
                    "rejected",
                    "kto_tag",
                ),
                str,
            ),
        ),
        "tags": make_model(
            "tags",
            dict.fromkeys(
                (
                    "role_tag",
                    "content_tag",
                    "user_tag",
                    "assistant_tag",
                    "observation_tag",
                    "function_tag",
                    "system_tag",
                ),
                str,
            ),
        ),
    },
    {"elsewhere": "ms_hub_url om_hub_url script_url cloud_file_name"},
)
