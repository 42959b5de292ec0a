"""What a configuration of axolotl may say.

Taken from its pydantic models (`utils/schemas`) of July 2026, with keys that its own examples
still have from before.
"""

from typing import Any, Literal

from sftdata.conversion.reading import make_model

Number = int | float
Names = str | list[str]

PROMPT: dict[str, Any] = dict.fromkeys(
    (
        "system_prompt",
        "system_format",
        "field_system",
        "field_instruction",
        "field_input",
        "field_output",
        "format",
        "no_input_format",
    ),
    str,
)
Prompt = make_model("a type of axolotl's user", PROMPT)

DATASET: dict[str, Any] = {
    "path": str,
    "name": str,
    "split": str,
    "revision": str,
    "data_files": Names,
    "ds_type": str,
    "type": str | Prompt,
    "field": str,
    "field_messages": str,
    "field_tools": str,
    "field_thinking": str,
    "template_thinking_key": str,
    "message_property_mappings": dict[str, str],
    "message_field_role": str,
    "message_field_content": str,
    "message_field_training": str,
    "message_field_training_detail": str,
    "roles": dict[str, list[str]],
    "roles_to_train": list[str],
    "train_on_eos": Literal["all", "turn", "last", "none"],
    "train_on_eot": Literal["all", "turn", "last", "none"],
    "chat_template": str,
    "chat_template_jinja": str,
    "drop_system_message": bool,
    "shards": int,
    "shards_idx": int,
    "conversation": str,
}
DATASET_WITHOUT = {
    "the recipe keeps the text as the data have it; change the data first": (
        "input_transform input_format split_thinking logprobs_field temperature field_human field_model field_system"
    ),
    "see the documentation of its type": "field_chosen field_rejected step_separator max_completion_length "
    "train_on_last_step_only length sequence_length min_input_id max_input_id seed",
}
DATASET_RUNNING = {
    "sftdata reads in fixed chunks, and runs no code of a dataset's": "preprocess_shards trust_remote_code"
}
Dataset = make_model("a dataset of axolotl's", DATASET, {**DATASET_WITHOUT, **DATASET_RUNNING})
PretrainingDataset = make_model(
    "a dataset of axolotl's",
    {
        "path": str,
        "name": str,
        "split": str,
        "text_column": str,
        "field": str,
        "type": str,
        "data_files": Names,
        "skip": int,
    },
    {"": "trust_remote_code"},
)

TYPES: dict[str, Any] = {
    # model
    "base_model": str,
    "tokenizer_config": str,
    "special_tokens": dict[str, Any],
    "tokens": list[str] | dict[str, Any],
    "adapter": str,
    "load_in_4bit": bool,
    "load_in_8bit": bool,
    "lora_r": int,
    "lora_alpha": Number,
    "lora_dropout": float,
    "lora_target_linear": bool,
    "lora_target_modules": Names,
    "lora_modules_to_save": list[str],
    "peft_use_dora": bool,
    "peft_use_rslora": bool,
    "unfrozen_parameters": list[str],
    # data
    "datasets": list[Dataset],  # type: ignore[valid-type]  # made of a table
    "test_datasets": list[dict[str, Any]],
    "pretraining_dataset": str | list[PretrainingDataset | str],  # type: ignore[valid-type]
    "rl": str,
    "reward_model": bool,
    "process_reward_model": bool,
    "chat_template": str,
    "chat_template_jinja": str,
    "chat_template_kwargs": dict[str, Any],
    "default_system_message": str,
    "eot_tokens": list[str],
    "train_on_inputs": bool,
    "sequence_len": int,
    "eval_sequence_len": int,
    "excess_length_strategy": Literal["drop", "truncate", "raise"],
    "sample_packing": bool,
    "eval_sample_packing": bool,
    "pad_to_sequence_len": bool,
    "val_set_size": Number,
    "dataset_prepared_path": str,
    "dataset_exact_deduplication": bool,
    # training
    "output_dir": str,
    "micro_batch_size": int,
    "gradient_accumulation_steps": int,
    "batch_size": int,
    "eval_batch_size": int,
    "auto_find_batch_size": bool,
    "num_epochs": float,
    "max_steps": int,
    "learning_rate": float,
    "lr_scheduler": str,
    "lr_scheduler_kwargs": dict[str, Any],
    "cosine_min_lr_ratio": float,
    "cosine_constant_lr_ratio": float,
    "warmup_ratio": float,
    "warmup_steps": Number,
    "optimizer": str,
    "weight_decay": float,
    "adam_beta1": float,
    "adam_beta2": float,
    "adam_epsilon": float,
    "max_grad_norm": float,
    "neftune_noise_alpha": float,
    "noisy_embedding_alpha": float,
    "bf16": bool | Literal["auto"],
    "fp16": bool,
    "bfloat16": bool,
    "float16": bool,
    "float32": bool,
    "tf32": bool | Literal["auto"],
    "torch_compile": bool | Literal["auto"],
    "gradient_checkpointing": bool | str,
    "save_steps": Number,
    "saves_per_epoch": int,
    "save_strategy": str,
    "save_total_limit": int,
    "eval_steps": Number,
    "evals_per_epoch": int,
    "eval_strategy": str,
    "evaluation_strategy": str,
    "logging_steps": Number,
    "early_stopping_patience": int,
    "metric_for_best_model": str,
    "load_best_model_at_end": bool,
    "seed": int,
    "fsdp": list[str] | str | bool,
    "fsdp_config": dict[str, Any],
    "deepspeed": str | dict[str, Any],
    "dp_shard_size": int,
    "resume_from_checkpoint": str | bool,
    "auto_resume_from_checkpoints": bool,
}
"""Keys whose values are looked at, and what they must be."""

PREFERENCE = "sftdata trains on responses alone: no rewards, no preferences"
IMAGES = "sftdata trains on text alone"
WITHOUT: dict[str, str] = {
    "start from an adapter: merge it into the model first, and give that as train.model": "lora_model_dir",
    "make the change to model and tokenizer first, save both in one folder, and give it as train.model and as "
    "tokenize.tokenizer": (
        "resize_token_embeddings_to_32x mean_resizing_embeddings shrink_embeddings embeddings_skip_upcast "
        "reinit_weights "
        "added_tokens_overrides base_model_config cls_model_config revision_of_model overrides_of_model_config "
        "overrides_of_model_kwargs model_config tokenizer_use_mistral_common fix_untrained_tokens rope_scaling "
        "scaling_softmax scaling_softmax_factor scaling_softmax_bias num_labels llama4_linearized_experts"
    ),
    "train.lora has r, alpha, dropout, target_modules, modules_to_save, use_rslora and use_dora, and nothing else": (
        "lora_target_parameters lora_rank_pattern lora_alpha_pattern peft_layers_to_transform "
        "peft_layers_pattern peft "
        "peft_layer_replication peft_init_lora_weights peft_trainable_token_indices peft_ensure_weight_tying "
        "peft_autocast_adapter_dtype lora_fan_in_fan_out use_mora mora loraplus_lr_ratio loraplus_lr_embedding "
        "relora "
        "relora_prune_ratio relora_prune_method relora_cpu_offload relora_steps relora_warmup_steps "
        "jagged_restart_steps jagged_restart_warmup_steps jagged_restart_anneal_steps merge_lora"
    ),
    "sftdata quantises to 4 bits (nf4) alone, in train.lora.quantize": (
        "gptq gptq_groupsize gptq_model_v1 gptq_disable_exllama bnb_config_kwargs quantization qat "
        "model_quantization_config model_quantization_config_kwargs quantize_moe_experts use_onebitllms fp8 "
        "fp8_enable_fsdp_float8_all_gather llmcompressor nvfp4_merge_aware nvfp4_merge_aware_start_step"
    ),
    "one learning rate for all weights, and AdamW alone": (
        "embedding_lr embedding_lr_scale lr_groups lr_quadratic_warmup lr_div_factor optim_args optim_target_modules "
        "adam_epsilon2 adam_beta3 dion_lr dion_momentum dion_rank_fraction dion_rank_multiple_of qgalore_rank "
        "qgalore_update_proj_gap qgalore_scale qgalore_proj_type qgalore_proj_quant qgalore_proj_bits "
        "qgalore_proj_group_size qgalore_cos_threshold qgalore_gamma_proj qgalore_queue_size torchdistx_path "
        "lisa_n_layers lisa_step_interval lisa_layers_attribute grokfast_alpha grokfast_lamb spectrum_top_fraction "
        "spectrum_model_name eta_min adam_eps"
    ),
    "the loss is the cross-entropy of all trained tokens; weights of rows and turns can change it (docs/schema.md)": (
        "use_eaft eaft_alpha eaft_k kd_trainer kd_ce_alpha kd_alpha kd_temperature kd_beta kd_normalize_topk "
        "kd_online_server_base_url kd_online_topk kd_online_server kd_online_timeout kd_temperature_min diffusion "
        "liger_use_token_scaling"
    ),
    PREFERENCE: (
        "trl vllm ebft center_rewards_coefficient dpo_use_weighting dpo_label_smoothing precompute_ref_log_probs "
        "dpo_use_liger_kernel dpo_padding_free dpo_loss_type dpo_loss_weights dpo_beta rpo_alpha orpo_alpha "
        "simpo_gamma "
        "cpo_alpha kto_desirable_weight kto_undesirable_weight rl_beta max_prompt_len dpo_use_logits_to_keep "
        "dpo_generate_during_eval dpo_norm_loss"
    ),
    IMAGES: "processor_type processor_kwargs image_size image_resize_algorithm role_boundaries freeze_mm_modules",
    "the order is always drawn anew in each epoch": (
        "group_by_length curriculum_sampling shuffle_merged_datasets shuffle_before_merging_datasets "
        "sample_packing_sequentially"
    ),
    "a recipe takes all rows; cut the files first": (
        "dataset_shard_num dataset_shard_idx min_sample_len total_num_tokens total_supervised_tokens"
    ),
    "no such positions of tokens": "use_pose pose_split_on_token_ids pose_max_context_len pose_num_chunks",
    "a run that goes astray is seen in its values; stop it": "loss_watchdog_threshold loss_watchdog_patience",
    "no longer known to axolotl itself": "max_packed_sequence_len sample_packing_seq_len_multiplier s2_attention "
    "eval_table_size eval_max_new_tokens",
}
"""Advice for keys without an equivalent."""

RUNNING: dict[str, str] = {
    "sftdata keeps no cache, reads in fixed chunks and takes `--workers`": (
        "skip_prepare_dataset num_dataset_shards_to_save dataset_processes dataset_num_proc dataset_keep_in_memory "
        "dataloader_pin_memory dataloader_num_workers dataloader_prefetch_factor dataloader_drop_last "
        "accelerator_config "
        "remove_unused_columns push_dataset_to_hub hf_use_auth_token is_preprocess preprocess_iterable streaming "
        "streaming_multipack_buffer_size pretrain_multipack_buffer_size pretrain_multipack_attn "
        "pretraining_sample_concatenation sample_packing_group_size sample_packing_bin_size "
        "sample_packing_mp_start_method sample_packing_eff_est pad_to_multiple_of multipack_real_batches "
        "batch_flattening "
        "dataset_processing axolotl_config_path debug strict test_value"
    ),
    "how a run is shown and kept: docs/training.md says what sftdata writes": (
        "wandb_project wandb_entity wandb_watch wandb_name wandb_run_id wandb_log_model wandb_mode use_wandb "
        "use_mlflow "
        "mlflow_tracking_uri mlflow_experiment_name mlflow_run_name hf_mlflow_log_artifacts use_comet comet_api_key "
        "comet_workspace comet_project_name comet_experiment_key comet_mode comet_online comet_experiment_config "
        "use_trackio trackio_project_name trackio_run_name trackio_space_id use_swanlab swanlab_project "
        "swanlab_experiment_name swanlab_description swanlab_mode swanlab_workspace swanlab_api_key "
        "swanlab_log_model "
        "swanlab_web_host swanlab_api_host swanlab_lark_webhook_url swanlab_lark_secret swanlab_log_completions "
        "swanlab_completion_log_interval swanlab_completion_max_buffer use_otel_metrics otel_metrics_host "
        "otel_metrics_port use_tensorboard include_tokens_per_second include_tkps profiler_steps "
        "profiler_steps_start "
        "hub_model_id hub_strategy hub_revision save_safetensors save_only_model save_first_step "
        "tokenizer_save_jinja_files project_name experimental_skip_move_to_device"
    ),
    "sftdata chooses kernels and memory itself, and runs no code of a model's from the hub": (
        "model_type type_of_model tokenizer_type tokenizer_use_fast tokenizer_legacy trust_remote_code "
        "is_falcon_derived_model "
        "is_llama_derived_model is_mistral_derived_model is_qwen_derived_model base_model_ignore_patterns "
        "attn_implementation flash_attention flash_attn_cross_entropy flash_attn_fuse_mlp flash_attn_rms_norm "
        "flash_optimum xformers_attention sdp_attention flex_attention flex_attn_compile_kwargs sage_attention "
        "eager_attention gemma4_hybrid_attn_impl large_head_attention flash_attn_d512 sdpa_varlen fused_attn_kernel "
        "experts_implementation lora_mlp_kernel lora_qkv_kernel lora_o_kernel lora_embedding_kernel lora_on_cpu "
        "chunked_cross_entropy chunked_cross_entropy_num_chunks tiled_mlp tiled_mlp_num_shards "
        "tiled_mlp_use_original_mlp "
        "torch_compile_backend torch_compile_mode torch_compile_options gradient_checkpointing_kwargs "
        "selective_checkpointing activation_offloading layer_offloading gc_steps gc_collect_steps "
        "torch_empty_cache_steps "
        "max_memory gpu_memory_limit low_cpu_mem_usage device device_map torch_dtype use_kernels use_scattermoe "
        "use_sonicmoe use_dsv4_kernels use_glm_dsa_kernels dsv4_fp8_nonexpert_mode dsv4_fp8_lora_kernel "
        "dsv4_shared_mlp_lora_kernel dsv4_bf16_all dsv4_fp4_grouped_mode gemma4_fp8_nonexpert gemma4_nf4_nonexpert "
        "expert_backend nonexpert_quantization moe_grouped_backend moe_dequant_chunk_size moe_bnb_fast "
        "cut_cross_entropy "
        "liger_rope liger_rms_norm liger_rms_norm_gated liger_layer_norm liger_swiglu liger_glu_activation "
        "liger_cross_entropy liger_fused_linear_cross_entropy dense_mixer fp32_norms fp32_norm_classes "
        "trainer_cls plugins "
        "qlora_sharded_model_loading full_finetune deepcompile"
    ),
    "how several processes work together: docs/training.md, on torchrun": (
        "world_size local_rank ddp ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers ddp_find_unused_parameters "
        "fsdp_version fsdp_final_state_dict_type dp_replicate_size sequence_parallel_degree context_parallel_size "
        "heads_k_stride ring_attn_func tensor_parallel_size expert_parallel_size expert_parallel_backend "
        "expert_parallel_num_nvl_bytes expert_parallel_num_rdma_bytes expert_parallel_token_capacity "
        "expert_parallel_fallback_on_unsupported use_ray ray_run_name ray_num_workers resources_per_worker "
        "dynamic_checkpoint"
    ),
    "how the model is measured and asked afterwards: `sftdata evaluate` and `sftdata predict`": (
        "do_causal_lm_eval eval_causal_lm_metrics do_bench_eval bench_dataset bench_split greater_is_better "
        "generate_samples num_generation_samples generation_max_new_tokens generation_temperature generation_top_p "
        "generation_top_k generation_prompt_ratio generation_do_sample gradio_title gradio_share gradio_server_name "
        "gradio_server_port gradio_max_new_tokens gradio_temperature lm_eval_tasks lm_eval_batch_size "
        "lm_eval_post_train lm_eval_model"
    ),
}
"""Where to look for keys that say only how axolotl runs."""

Configuration = make_model("axolotl's configuration", TYPES, {**WITHOUT, **RUNNING})
